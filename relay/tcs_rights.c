// SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_rights.h"

#include "base/log.h"
#include "relay/tcs_config.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err find_user(const char *user, const struct passwd **account, char *problem)
{
	*account = getpwnam(user);
	if (*account)
		return ERR_OK;
	snprintf(problem, TCS_RIGHTS_PROBLEM_MAX, "user = %s: no such account", user);
	return ERR_USAGE;
}

enum err tcs_rights_state_directory(const struct tcs_config *config, char problem[static TCS_RIGHTS_PROBLEM_MAX])
{
	const struct passwd *account = NULL;
	enum err err = *config->user ? find_user(config->user, &account, problem) : ERR_OK;
	if (err)
		return err;
	bool is_made = mkdir(config->state_directory, 0700) == 0;
	if ((!is_made && errno != EEXIST) ||
	    (is_made && account && geteuid() == 0 && chown(config->state_directory, account->pw_uid, account->pw_gid) != 0)) {
		snprintf(problem, TCS_RIGHTS_PROBLEM_MAX, "cannot make the directory %s: %s", config->state_directory, strerror(errno));
		return ERR_IO;
	}
	return ERR_OK;
}

static enum err own_socket(const char *path, const struct passwd *account, char *problem)
{
	if (!*path || lchown(path, account->pw_uid, account->pw_gid) == 0)
		return ERR_OK;
	snprintf(problem, TCS_RIGHTS_PROBLEM_MAX, "cannot give %s to %s: %s", path, account->pw_name, strerror(errno));
	return ERR_DENIED;
}

enum err tcs_rights_own_sockets(const struct tcs_config *config, char problem[static TCS_RIGHTS_PROBLEM_MAX])
{
	const struct passwd *account = NULL;
	if (!*config->user || geteuid() != 0)
		return ERR_OK;
	enum err err = find_user(config->user, &account, problem);
	if (!err)
		err = own_socket(config->mux_socket, account, problem);
	return err ? err : own_socket(config->control_socket, account, problem);
}

enum err tcs_rights_take_account(const char *user, char problem[static TCS_RIGHTS_PROBLEM_MAX])
{
	const struct passwd *account;
	if (!*user)
		return ERR_OK;
	enum err err = find_user(user, &account, problem);
	if (err)
		return err;
	if (geteuid() == account->pw_uid)
		return ERR_OK;
	if (initgroups(user, account->pw_gid) != 0 || setgid(account->pw_gid) != 0 || setuid(account->pw_uid) != 0) {
		snprintf(problem, TCS_RIGHTS_PROBLEM_MAX, "cannot become user %s: %s", user, strerror(errno));
		return ERR_DENIED;
	}
	return ERR_OK;
}

// A descriptor for each participant: as many as the system lets us have.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void become_ordinary(void)
{
	const struct sched_param ordinary = { 0 };
	(void)sched_setscheduler(0, SCHED_OTHER, &ordinary);
}

void tcs_rights_priority(uint64_t priority)
{
	const struct sched_param wanted = { .sched_priority = (int)priority };
	if (priority == 0)
		return;
	if (sched_setscheduler(0, SCHED_RR, &wanted) != 0)
		log_line(LOG_NOTICE, "no real-time priority (%s): on a busy machine packets wait some milliseconds", strerror(errno));
	else // SCHED_RESET_ON_FORK would take it from our threads, too, which could not ask for it any more
		(void)pthread_atfork(NULL, NULL, become_ordinary);
}

void tcs_rights_begin(void)
{
	const struct rlimit none = { 0, 0 };
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	raise_descriptor_limit();
}
