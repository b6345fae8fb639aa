// SPDX-License-Identifier: Apache-2.0
#include "mgmt/mux_config.h"

#include "base/log.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct mux_config, member)
static const struct option_row rows[] = {
	{"listen-address", OPTION_ADDRESS, AT(listen_address), 1, 0, NULL, "::", NULL, "address of the shared port"},
	{"listen-port", OPTION_NUMBER, AT(listen_port), 1, 65535, NULL, "443", NULL, "the shared TCP port"},
	{"tmms-name", OPTION_TEXT, AT(route[0].name), 0, 253, NULL, "", NULL, "server name of tmms; must be given"},
	{"tmms-socket", OPTION_PATH, AT(route[0].socket), 1, 0, NULL, "/run/huisclos/tmms-mux.sock", NULL, "mux-socket of tmms"},
	{"tcs-name", OPTION_TEXT, AT(route[1].name), 0, 253, NULL, "", NULL, "server name of tcs; must be given"},
	{"tcs-socket", OPTION_PATH, AT(route[1].socket), 1, 0, NULL, "/run/huisclos/tcs-mux.sock", NULL, "mux-socket of tcs"},
	{"user", OPTION_TEXT, AT(user), 0, 32, NULL, "", NULL, "drop to this user after the port is open; empty: stay"},
	{"group", OPTION_TEXT, AT(group), 0, 32, NULL, "", NULL, "and to this group, which the servers let in; empty: the user's"},
	{"log-level", OPTION_CHOICE, AT(log_level), 0, 0, "error|warning|notice|info|debug", "info", NULL, "least urgent lines that are logged"},
	{"waiting-max", OPTION_NUMBER, AT(waiting_max), 1, 65536, NULL, "1024", NULL, "connections whose hello is not complete yet"},
	{"waiting-per-address", OPTION_NUMBER, AT(waiting_per_address_max), 1, 65536, NULL, "32", NULL, "of one IPv4 address or IPv6 /64"},
	{"deadline", OPTION_NUMBER, AT(deadline_ms), 100, 60000, NULL, "3000", "ms", "a whole ClientHello must be there by then"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), SOCKET_PATH_MAX = 107 };

static enum err check(struct mux_config *config, const char *path, char *problem)
{
	const char *what = NULL;
	for (size_t i = 0; i < MUX_CONFIG_ROUTES && !what; i++) {
		const struct mux_route *route = &config->route[i];
		if (!route->name[0] || route->name[strspn(route->name, "abcdefghijklmnopqrstuvwxyz0123456789.-")])
			what = "tmms-name and tcs-name: lower-case letters, digits, dots and hyphens are needed";
		else if (strlen(route->socket) > SOCKET_PATH_MAX)
			what = "tmms-socket and tcs-socket: at most 107 characters are allowed";
	}
	if (!what && strcmp(config->route[0].name, config->route[1].name) == 0)
		what = "tmms-name and tcs-name must differ";
	if (!what)
		return ERR_OK;
	snprintf(problem, OPTION_PROBLEM_MAX, "%.200s: %s", path ? path : "huisclos-mux", what);
	return ERR_USAGE;
}

enum err mux_config_load(const char *path, const char *const *sets, size_t count, struct mux_config *out,
			 char problem[static OPTION_PROBLEM_MAX])
{
	*out = (struct mux_config){0};
	if (!path && access(MUX_CONFIG_PATH_DEFAULT, F_OK) == 0)
		path = MUX_CONFIG_PATH_DEFAULT;
	enum err err = options_load(rows, ROWS, path, out, problem);
	for (size_t i = 0; !err && i < count; i++)
		err = options_set(rows, ROWS, sets[i], out, problem);
	return err ? err : check(out, path, problem);
}

void mux_config_print_options(FILE *out)
{
	options_print(rows, ROWS, out);
}

int mux_config_log_level(const struct mux_config *config)
{
	return LOG_ERROR + (int)config->log_level;
}
