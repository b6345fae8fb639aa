// SPDX-License-Identifier: Apache-2.0
#include "mgmt/role.h"

#include "base/cursor.h"
#include "base/log.h"
#include "mgmt/auth_role.h"
#include "mgmt/channel.h"
#include "mgmt/front_role.h"
#include "mgmt/http_role.h"
#include "mgmt/store_role.h"

#include <openssl/crypto.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIT(role) (1u << (role))

struct role_row {
	const char *name, *title, *log_name;
	int (*run)(struct role_context *context);
	unsigned peers;
};

static const struct role_row rows[ROLE_COUNT] = {
	[ROLE_STORE] = {"store", "tmms-store", "tmms store", store_role_run, BIT(ROLE_AUTH) | BIT(ROLE_HTTP)},
	[ROLE_AUTH] = {"auth", "tmms-auth", "tmms auth", auth_role_run, BIT(ROLE_STORE) | BIT(ROLE_HTTP)},
	[ROLE_HTTP] = {"http", "tmms-http", "tmms http", http_role_run, BIT(ROLE_STORE) | BIT(ROLE_AUTH) | BIT(ROLE_FRONT)},
	[ROLE_FRONT] = {"front", "tmms-front", "tmms front", front_role_run, BIT(ROLE_HTTP)},
};

// Notes on the control channel, one byte of kind first.
enum note { NOTE_CHANNEL = 1, NOTE_READY = 2 };
enum { NOTE_BYTES = 6 };

const char *role_name(enum role role)
{
	return rows[role].name;
}

bool role_is_peer(enum role a, enum role b)
{
	return (rows[a].peers & BIT(b)) != 0;
}

int role_run(struct role_context *context)
{
	const struct role_row *row = &rows[context->role];
	prctl(PR_SET_NAME, row->title);
	log_init(row->log_name, (enum log_level)config_log_level(context->config));
	return row->run(context);
}

enum err role_user(const struct config *config, uid_t *uid, gid_t *gid)
{
	*uid = geteuid();
	*gid = getegid();
	if (!config->user[0])
		return ERR_OK;
	const struct passwd *user = getpwnam(config->user);
	if (!user) {
		log_line(LOG_ERROR, "user = %s: there is no such user", config->user);
		return ERR_USAGE;
	}
	*uid = user->pw_uid;
	*gid = user->pw_gid;
	return ERR_OK;
}

enum err role_group(const char *name, gid_t *gid)
{
	*gid = (gid_t)-1;
	if (!name[0])
		return ERR_OK;
	const struct group *group = getgrnam(name);
	if (!group) {
		log_line(LOG_ERROR, "there is no such group: %s", name);
		return ERR_USAGE;
	}
	*gid = group->gr_gid;
	return ERR_OK;
}

enum err role_directory(const struct role_context *context, const char *path, mode_t mode)
{
	uid_t uid;
	gid_t gid;
	enum err err = role_user(context->config, &uid, &gid);
	if (err)
		return err;
	if (mkdir(path, mode) == 0) {
		if (geteuid() == 0 && chown(path, uid, gid) < 0)
			goto fail;
		return ERR_OK;
	}
	struct stat info;
	if (errno == EEXIST && stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
		errno = ENOTDIR;
	else if (errno == EEXIST)
		return ERR_OK;
fail:
	log_line(LOG_ERROR, "cannot make the directory %s: %s", path, strerror(errno));
	return ERR_IO;
}

static enum err drop_user(const struct config *config)
{
	uid_t uid;
	gid_t gid;
	enum err err = role_user(config, &uid, &gid);
	if (err || geteuid() != 0 || uid == 0)
		return err;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
		log_line(LOG_ERROR, "cannot become user %s: %s", config->user, strerror(errno));
		return ERR_IO;
	}
	return ERR_OK;
}

enum err role_confine(const struct role_context *context, const struct confine_path *paths, size_t count)
{
	struct rlimit none = {0, 0}, descriptors;
	enum err err = drop_user(context->config);
	if (err)
		return err;
	if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
		descriptors.rlim_cur = descriptors.rlim_max;
		setrlimit(RLIMIT_NOFILE, &descriptors);
	}
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) {
		log_line(LOG_ERROR, "cannot confine the process: %s", strerror(errno));
		return ERR_IO;
	}
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL); // reads its file while it may
	err = confine_files(paths, count);
	if (!err)
		err = confine_sockets();
	if (err)
		return err;
	// Roles never outlive their supervisor. Dropping the user cleared an earlier setting, so it comes last.
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != context->supervisor)
		return ERR_CLOSED;
	return ERR_OK;
}

static enum err send_note(int control, enum note kind, unsigned role, uint32_t pid, int fd)
{
	uint8_t bytes[NOTE_BYTES];
	struct cursor c = cursor_writer(bytes, sizeof(bytes));
	cursor_write_u8(&c, kind);
	cursor_write_u8(&c, (uint8_t)role);
	cursor_write_u32(&c, pid);
	return channel_send(control, bytes, sizeof(bytes), fd);
}

enum err role_ready(const struct role_context *context)
{
	return send_note(context->control, NOTE_READY, context->role, (uint32_t)getpid(), -1);
}

enum err role_send_channel(int control, enum role peer, pid_t pid, int fd)
{
	return send_note(control, NOTE_CHANNEL, peer, (uint32_t)pid, fd);
}

enum err role_receive_ready(int control)
{
	uint8_t bytes[NOTE_BYTES];
	size_t size;
	enum err err = channel_receive(control, bytes, sizeof(bytes), &size, NULL);
	if (err)
		return err;
	return size == NOTE_BYTES && bytes[0] == NOTE_READY ? ERR_OK : ERR_PARSE;
}

enum err role_note(struct role_context *context, enum role *changed)
{
	uint8_t bytes[NOTE_BYTES];
	size_t size;
	int fd;
	enum err err = channel_receive(context->control, bytes, sizeof(bytes), &size, &fd);
	if (err)
		return err;
	struct cursor c = cursor_reader(bytes, size);
	unsigned kind = cursor_read_u8(&c), role = cursor_read_u8(&c);
	uint32_t pid = cursor_read_u32(&c);
	if (cursor_finish(&c) || kind != NOTE_CHANNEL || role >= ROLE_COUNT || fd < 0) {
		if (fd >= 0)
			close(fd);
		return ERR_PARSE;
	}
	if (context->peer[role] >= 0)
		close(context->peer[role]);
	context->peer[role] = fd;
	context->pid[role] = (pid_t)pid;
	*changed = (enum role)role;
	return ERR_OK;
}
