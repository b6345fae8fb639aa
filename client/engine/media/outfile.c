// SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err failure(void)
{
	switch (errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	case EPIPE:
		return ERR_CLOSED;
	default:
		return ERR_IO;
	}
}

enum err outfile_open(const char *path, int *descriptor, bool *is_stream)
{
	struct stat status;
	*is_stream = stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
	int flags = *is_stream ? O_WRONLY | O_NONBLOCK : O_WRONLY | O_CREAT | O_TRUNC;
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ENXIO && *is_stream ? ERR_AGAIN : failure();
	*descriptor = fd;
	return ERR_OK;
}

enum err outfile_write(int descriptor, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	while (size > 0) {
		ssize_t put = write(descriptor, at, size);
		if (put > 0) {
			at += put;
			size -= (size_t)put;
		} else if (put < 0 && errno == EAGAIN) {
			struct pollfd poller = { .fd = descriptor, .events = POLLOUT };
			if (poll(&poller, 1, OUTFILE_STALL_MS) == 0)
				return ERR_TIMEOUT;
		} else if (put < 0 && errno != EINTR) {
			return failure();
		}
	}
	return ERR_OK;
}

enum err outfile_write_at(int descriptor, const void *bytes, size_t size, uint64_t offset)
{
	ssize_t put = pwrite(descriptor, bytes, size, (off_t)offset);
	if (put < 0)
		return failure();
	return (size_t)put == size ? ERR_OK : ERR_FULL;
}

enum err outfile_replace(const char *path, const char *text, size_t size)
{
	char part[PATH_MAX];
	if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
		return ERR_LIMIT;
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return failure();
	enum err err = outfile_write(fd, text, size);
	if (close(fd) != 0 && err == ERR_OK)
		err = failure();
	if (err == ERR_OK && rename(part, path) != 0)
		err = failure();
	if (err != ERR_OK)
		(void)unlink(part);
	return err;
}

void outfile_block_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}
