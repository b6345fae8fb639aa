// The configuration of tmms: one row an option, in config.c. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_CONFIG_H
#define MGMT_CONFIG_H

#include "base/err.h"
#include "base/options.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_PATH_DEFAULT "/etc/huisclos/tmms.conf"
#define CONFIG_SOCKET_DEFAULT "/run/huisclos/tmms.sock"
enum { CONFIG_PATH_MAX = 2 * OPTION_TEXT_MAX, CONFIG_SETS_MAX = 32 };

struct config {
	char server_name[OPTION_TEXT_MAX];
	char listen_address[OPTION_TEXT_MAX];
	uint64_t listen_port; // 0: no port of its own
	char mux_socket[OPTION_TEXT_MAX]; // empty: none
	char control_socket[OPTION_TEXT_MAX];
	char state_directory[OPTION_TEXT_MAX];
	char public_address[OPTION_TEXT_MAX]; // empty: clients ask the DNS
	uint64_t public_port;
	uint64_t store_size_bytes;
	char user[OPTION_TEXT_MAX];  // empty: stay
	char group[OPTION_TEXT_MAX], mux_group[OPTION_TEXT_MAX]; // empty: none
	unsigned log_level;
	uint64_t connections_max;
	uint64_t connections_per_address_max;
	uint64_t handshake_timeout_s;
	uint64_t idle_timeout_s;
};

struct config_source {
	const char *path; // NULL: the default path, which may be missing
	const char *sets[CONFIG_SETS_MAX]; // "name=value" of the command line
	size_t set_count;
};

// File, then --set, then the checks that span rows. `problem` is one line for people.
enum err config_load(const struct config_source *source, struct config *out, char problem[static OPTION_PROBLEM_MAX]) CHECK_RESULT;
void config_print_options(FILE *out);
// Threshold for log_init().
int config_log_level(const struct config *config);
// A path below the state directory; `out` has room for CONFIG_PATH_MAX.
void config_state_path(const struct config *config, const char *name, char *out);

#endif
