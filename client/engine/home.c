// SPDX-License-Identifier: Apache-2.0
#include "client/engine/home.h"

#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_ATTEMPTS = 100, LOCK_PAUSE_MS = 50, NAME_MAX_CHARS = 64 };

struct home {
	int directory;
	int lock; // -1: not held
	char path[HOME_PATH_MAX];
};

static enum err fail(char *problem, const char *path, const char *file)
{
	int why = errno;
	snprintf(problem, HOME_PROBLEM_MAX, "%.300s%s%s: %s", path, file ? "/" : "", file ? file : "", strerror(why));
	return why == ENOSPC || why == EDQUOT ? ERR_FULL : ERR_IO;
}

static enum err default_path(char *out, char *problem)
{
	const char *data = getenv("XDG_DATA_HOME"), *user = getenv("HOME");
	const struct passwd *entry = user && *user ? NULL : getpwuid(getuid());
	int size;
	if (data && *data == '/')
		size = snprintf(out, HOME_PATH_MAX, "%s/huisclos", data);
	else
		size = snprintf(out, HOME_PATH_MAX, "%s/.local/share/huisclos", entry ? entry->pw_dir : user ? user : "");
	if (size < HOME_PATH_MAX)
		return ERR_OK;
	snprintf(problem, HOME_PROBLEM_MAX, "the path of the home folder is too long");
	return ERR_LIMIT;
}

// Make the folder and, where they are missing, those above it.
static enum err make_directories(const char *path, char *problem)
{
	char part[HOME_PATH_MAX];
	struct stat status;
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return ERR_OK;
	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return fail(problem, part, NULL);
		*slash = '/';
	}
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return fail(problem, path, NULL);
	return ERR_OK;
}

// Who can write here can put in an identity with a server and pins of his own.
static enum err open_directory(struct home *home, char *problem)
{
	struct stat status;
	home->directory = open(home->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (home->directory < 0)
		return fail(problem, home->path, NULL);
	if (fstat(home->directory, &status) == 0 && !(status.st_mode & S_IWOTH))
		return ERR_OK;
	snprintf(problem, HOME_PROBLEM_MAX, "%.300s can be written by everyone: run chmod 700 on it", home->path);
	close(home->directory);
	return ERR_DENIED;
}

enum err home_open(const char *directory, struct home **out, char problem[static HOME_PROBLEM_MAX])
{
	struct home *home = calloc(1, sizeof(*home));
	enum err err = home ? ERR_OK : ERR_NOMEM;
	if (!home)
		return err;
	home->lock = -1;
	if (!directory) {
		err = default_path(home->path, problem);
	} else if (strlen(directory) >= HOME_PATH_MAX || !*directory) {
		snprintf(problem, HOME_PROBLEM_MAX, "the path of the home folder is %s", *directory ? "too long" : "empty");
		err = ERR_USAGE;
	} else {
		strcpy(home->path, directory);
	}
	if (!err)
		err = make_directories(home->path, problem);
	if (!err)
		err = open_directory(home, problem);
	if (err) {
		free(home);
		return err;
	}
	*out = home;
	return ERR_OK;
}

void home_close(struct home *home)
{
	if (!home)
		return;
	home_unlock(home);
	close(home->directory);
	free(home);
}

const char *home_directory(const struct home *home)
{
	return home->path;
}

enum err home_path(const struct home *home, const char *file, char out[static HOME_PATH_MAX])
{
	return snprintf(out, HOME_PATH_MAX, "%s/%s", home->path, file) < HOME_PATH_MAX ? ERR_OK : ERR_LIMIT;
}

enum err home_lock(struct home *home, char problem[static HOME_PROBLEM_MAX])
{
	int fd = openat(home->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(problem, home->path, "lock");
	for (int attempt = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; attempt++) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			enum err err = fail(problem, home->path, "lock");
			close(fd);
			return err;
		}
		if (attempt == LOCK_ATTEMPTS) {
			snprintf(problem, HOME_PROBLEM_MAX, "%.300s is being changed by another process", home->path);
			close(fd);
			return ERR_TIMEOUT;
		}
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_MS * 1000000L }, NULL);
	}
	home->lock = fd;
	return ERR_OK;
}

void home_unlock(struct home *home)
{
	if (home->lock >= 0)
		close(home->lock);
	home->lock = -1;
}

static enum err read_all(int fd, char **bytes, size_t *size)
{
	struct stat status;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		errno = EINVAL;
		return ERR_IO;
	}
	if (status.st_size > HOME_FILE_MAX) {
		errno = EFBIG;
		return ERR_LIMIT;
	}
	size_t capacity = (size_t)status.st_size, used = 0;
	char *buffer = malloc(capacity + 1);
	if (!buffer)
		return ERR_NOMEM;
	while (used < capacity) {
		ssize_t n = read(fd, buffer + used, capacity - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(buffer);
			return ERR_IO;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	buffer[used] = 0;
	*bytes = buffer;
	*size = used;
	return ERR_OK;
}

enum err home_read(const struct home *home, const char *file, char **bytes, size_t *size,
		   char problem[static HOME_PROBLEM_MAX])
{
	int fd = openat(home->directory, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // no file of ours is a FIFO
	if (fd < 0) {
		bool is_missing = errno == ENOENT;
		enum err err = fail(problem, home->path, file);
		return is_missing ? ERR_NOT_FOUND : err;
	}
	enum err err = read_all(fd, bytes, size);
	if (err)
		err = fail(problem, home->path, file) == ERR_FULL ? ERR_FULL : err;
	close(fd);
	return err;
}

void home_free(char *bytes, size_t size)
{
	if (!bytes)
		return;
	secret_wipe(bytes, size);
	free(bytes);
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return fsync(fd) == 0;
}

enum err home_write(const struct home *home, const char *file, const char *bytes, size_t size,
		    char problem[static HOME_PROBLEM_MAX])
{
	char temporary[NAME_MAX_CHARS];
	snprintf(temporary, sizeof(temporary), ".%s.new", file);
	(void)unlinkat(home->directory, temporary, 0); // what a crash left
	int fd = openat(home->directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(problem, home->path, file);
	bool is_written = write_all(fd, bytes, size);
	if (close(fd) != 0)
		is_written = false;
	if (!is_written || renameat(home->directory, temporary, home->directory, file) != 0) {
		enum err err = fail(problem, home->path, file);
		(void)unlinkat(home->directory, temporary, 0);
		return err;
	}
	return fsync(home->directory) == 0 ? ERR_OK : fail(problem, home->path, NULL);
}

void home_remove(const struct home *home, const char *file)
{
	(void)unlinkat(home->directory, file, 0);
}
