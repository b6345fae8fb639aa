// A folder that holds one client identity. Files are replaced whole: temporary file, fsync, rename, fsync of the
// folder. Writers hold the folder's lock, so that two processes do not undo each other's changes.
// SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_HOME_H
#define CLIENT_ENGINE_HOME_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { HOME_PROBLEM_MAX = 512, HOME_PATH_MAX = 4096, HOME_FILE_MAX = 4 << 20 };

struct home;

// `directory`: NULL for $XDG_DATA_HOME/huisclos or ~/.local/share/huisclos; made (0700) if it is missing.
// ERR_DENIED if everyone can write there.
enum err home_open(const char *directory, struct home **out, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
void home_close(struct home *home);
const char *home_directory(const struct home *home);
// ERR_LIMIT if it is too long.
enum err home_path(const struct home *home, const char *file, char out[static HOME_PATH_MAX]) CHECK_RESULT;

// Waits up to five seconds for another process.
enum err home_lock(struct home *home, char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
void home_unlock(struct home *home);

// All of a file, with a NUL behind it that is not counted; freed with home_free. ERR_NOT_FOUND if there is none.
enum err home_read(const struct home *home, const char *file, char **bytes, size_t *size,
		   char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
void home_free(char *bytes, size_t size); // wipes; NULL is fine
// With the lock held. The file is readable by its owner only.
enum err home_write(const struct home *home, const char *file, const char *bytes, size_t size,
		    char problem[static HOME_PROBLEM_MAX]) CHECK_RESULT;
void home_remove(const struct home *home, const char *file);

#endif
