// One-line log messages on stderr, for the journal. SPDX-License-Identifier: Apache-2.0
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

// Syslog's numbers, so that the journal's <N> prefix needs no table.
enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

// Set the name that stands before each line ("tcs", "tmms front") and the least urgent level that is
// printed. With JOURNAL_STREAM in the environment lines carry the journal's priority prefix, else a time.
// `name` is borrowed and must outlive all logging.
void log_init(const char *name, enum log_level threshold);

// Print one line. Control characters in the result are replaced, so that no input can forge a line. Log
// what happened to which object; never a secret, a name from inside a meeting, or a payload.
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
