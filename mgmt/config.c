// SPDX-License-Identifier: Apache-2.0
#include "mgmt/config.h"

#include "base/log.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { SOCKET_PATH_MAX = 107 }; // sun_path

#define AT(member) offsetof(struct config, member)
static const struct option_row rows[] = {
	{"server-name", OPTION_TEXT, AT(server_name), 1, 253, NULL, NULL, NULL,
	 "name of this server in links and in TLS (SNI); need not be in the DNS if public-address is given"},
	{"listen-address", OPTION_ADDRESS, AT(listen_address), 1, 0, NULL, "::", NULL, "address of the own port"},
	{"listen-port", OPTION_NUMBER, AT(listen_port), 0, 65535, NULL, "443", NULL, "own TCP port; 0: none, connections come from the mux"},
	{"mux-socket", OPTION_PATH, AT(mux_socket), 0, 0, NULL, "", NULL, "UNIX socket where huisclos-mux hands over connections; empty: none"},
	{"control-socket", OPTION_PATH, AT(control_socket), 1, 0, NULL, CONFIG_SOCKET_DEFAULT, NULL, "UNIX socket of tmmsctl"},
	{"state-directory", OPTION_PATH, AT(state_directory), 1, 0, NULL, "/var/lib/huisclos/tmms", NULL, "keys and store"},
	{"public-address", OPTION_ADDRESS, AT(public_address), 0, 0, NULL, "", NULL, "address in enrolment links; empty: clients ask the DNS"},
	{"public-port", OPTION_NUMBER, AT(public_port), 1, 65535, NULL, "443", NULL, "port in enrolment links"},
	{"store-size", OPTION_NUMBER, AT(store_size_bytes), 1u << 20, 1ull << 40, NULL, "1073741824", "bytes", "the store grows to at most this"},
	{"user", OPTION_TEXT, AT(user), 0, 32, NULL, "", NULL, "drop to this user; empty: stay the one that started"},
	{"group", OPTION_TEXT, AT(group), 0, 32, NULL, "", NULL, "members of this group may use the control socket; empty: nobody else"},
	{"mux-group", OPTION_TEXT, AT(mux_group), 0, 32, NULL, "", NULL, "members of this group may use the mux socket; empty: nobody else"},
	{"log-level", OPTION_CHOICE, AT(log_level), 0, 0, "error|warning|notice|info|debug", "info", NULL, "least urgent lines that are logged"},
	{"connections-max", OPTION_NUMBER, AT(connections_max), 1, 100000, NULL, "1024", NULL, "connections in all"},
	{"connections-per-address", OPTION_NUMBER, AT(connections_per_address_max), 1, 100000, NULL, "64", NULL, "connections of one IPv4 address or IPv6 /64"},
	{"handshake-timeout", OPTION_NUMBER, AT(handshake_timeout_s), 1, 120, NULL, "10", "s", "a TLS handshake takes at most this"},
	{"idle-timeout", OPTION_NUMBER, AT(idle_timeout_s), 15, 3600, NULL, "75", "s", "silent connections are closed"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static bool is_host_name(const char *name)
{
	if (name[0] == '\0' || name[0] == '.' || name[0] == '-')
		return false;
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0';
}

// What a row alone cannot say.
static enum err check(const struct config *config, const char *path, char *problem)
{
	const char *what = NULL;
	if (!is_host_name(config->server_name))
		what = "server-name: must be given, lower-case letters, digits, dots and hyphens";
	else if (config->listen_port == 0 && !config->mux_socket[0])
		what = "listen-port is 0 and mux-socket is empty: give one of them";
	else if (strlen(config->mux_socket) > SOCKET_PATH_MAX || strlen(config->control_socket) > SOCKET_PATH_MAX)
		what = "mux-socket and control-socket: at most 107 characters are allowed";
	else if (strcmp(config->mux_socket, config->control_socket) == 0)
		what = "mux-socket and control-socket must differ";
	if (!what)
		return ERR_OK;
	snprintf(problem, OPTION_PROBLEM_MAX, "%.200s: %s", path ? path : "tmms", what);
	return ERR_USAGE;
}

// options_load() wants required rows in the file; one that --set gives shall do as well. So the file is read
// into the struct with the first --set of server-name as its default.
static void rows_with_sets(const struct config_source *source, struct option_row out[static ROWS])
{
	memcpy(out, rows, sizeof(rows));
	for (size_t i = 0; i < source->set_count; i++) {
		if (strncmp(source->sets[i], "server-name=", 12) == 0 && source->sets[i][12])
			out[0].initial = source->sets[i] + 12;
	}
}

enum err config_load(const struct config_source *source, struct config *out, char problem[static OPTION_PROBLEM_MAX])
{
	*out = (struct config){0};
	const char *path = source->path;
	if (!path && access(CONFIG_PATH_DEFAULT, F_OK) == 0)
		path = CONFIG_PATH_DEFAULT;
	struct option_row with_sets[ROWS];
	rows_with_sets(source, with_sets);
	enum err err = options_load(with_sets, ROWS, path, out, problem);
	for (size_t i = 0; !err && i < source->set_count; i++)
		err = options_set(rows, ROWS, source->sets[i], out, problem);
	return err ? err : check(out, path, problem);
}

void config_print_options(FILE *out)
{
	options_print(rows, ROWS, out);
}

int config_log_level(const struct config *config)
{
	return LOG_ERROR + (int)config->log_level;
}

void config_state_path(const struct config *config, const char *name, char *out)
{
	snprintf(out, CONFIG_PATH_MAX, "%s/%s", config->state_directory, name);
}
