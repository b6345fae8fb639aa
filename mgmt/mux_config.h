// The configuration of huisclos-mux. SPDX-License-Identifier: Apache-2.0
#ifndef MGMT_MUX_CONFIG_H
#define MGMT_MUX_CONFIG_H

#include "base/err.h"
#include "base/options.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MUX_CONFIG_PATH_DEFAULT "/etc/huisclos/mux.conf"
enum { MUX_CONFIG_ROUTES = 2 };

struct mux_route {
	char name[OPTION_TEXT_MAX];   // server name
	char socket[OPTION_TEXT_MAX]; // of the server
};

struct mux_config {
	char listen_address[OPTION_TEXT_MAX];
	uint64_t listen_port;
	struct mux_route route[MUX_CONFIG_ROUTES];
	char user[OPTION_TEXT_MAX], group[OPTION_TEXT_MAX];
	unsigned log_level;
	uint64_t waiting_max, waiting_per_address_max;
	uint64_t deadline_ms;
};

// `path` NULL: the default, which may be missing. `problem` is one line for people.
enum err mux_config_load(const char *path, const char *const *sets, size_t count, struct mux_config *out,
			 char problem[static OPTION_PROBLEM_MAX]) CHECK_RESULT;
void mux_config_print_options(FILE *out);
int mux_config_log_level(const struct mux_config *config);

#endif
