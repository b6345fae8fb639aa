// SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_sockets.h"

#include "relay/relay_address.h"
#include "relay/relay_socket.h"
#include "relay/tcs_config.h"

#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t count_threads(const struct tcs_config *config)
{
	cpu_set_t allowed;
	size_t cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? (size_t)CPU_COUNT(&allowed) : 1;
	return config->udp_port == 0 ? 0 : config->threads < cores ? config->threads : cores;
}

static enum err open_udp(const struct tcs_config *config, uint64_t port, size_t count, int *out, char *problem)
{
	struct sockaddr_in6 address;
	if (port == 0)
		return ERR_OK;
	enum err err = relay_address_parse(config->listen_address, (uint16_t)port, &address);
	return err ? err : relay_socket_udp(&address, (uint8_t)config->dscp, count, out, problem);
}

static enum err open_tcp(const struct tcs_config *config, int *out, char *problem)
{
	struct sockaddr_in6 address;
	if (config->listen_port == 0)
		return ERR_OK;
	enum err err = relay_address_parse(config->listen_address, (uint16_t)config->listen_port, &address);
	return err ? err : relay_socket_tcp(&address, out, problem);
}

enum err tcs_sockets_open(const struct tcs_config *config, struct tcs_sockets *out, char problem[static TCS_SOCKETS_PROBLEM_MAX])
{
	*out = (struct tcs_sockets){ .leg = -1, .tcp = -1, .mux = -1, .control = -1 };
	if (config->listen_port == 0 && !*config->mux_socket) {
		snprintf(problem, TCS_SOCKETS_PROBLEM_MAX, "neither listen-port nor mux-socket is set: nobody could connect");
		return ERR_USAGE;
	}
	if (config->relay_udp_port != 0 && config->udp_port == 0) {
		snprintf(problem, TCS_SOCKETS_PROBLEM_MAX, "relay-udp-port is of no use without udp-port");
		return ERR_USAGE;
	}
	out->threads = count_threads(config);
	size_t count = out->threads > 0 ? out->threads : 1;
	enum err err = open_udp(config, config->udp_port, count, out->udp, problem);
	if (!err && config->udp_port != 0)
		out->udp_count = count;
	if (!err)
		err = open_udp(config, config->relay_udp_port, 1, &out->leg, problem);
	if (!err)
		err = open_tcp(config, &out->tcp, problem);
	if (!err && *config->mux_socket)
		err = relay_socket_unix(config->mux_socket, SOCK_SEQPACKET, &out->mux, problem);
	if (!err && *config->control_socket)
		err = relay_socket_unix(config->control_socket, SOCK_STREAM, &out->control, problem);
	return err;
}

bool tcs_sockets_have_marks(const struct tcs_sockets *sockets)
{
	return sockets->udp_count > 0 && relay_socket_has_marks(sockets->udp[0]);
}

void tcs_sockets_remove(const struct tcs_config *config, const struct tcs_sockets *sockets)
{
	if (sockets->control >= 0)
		(void)unlink(config->control_socket);
	if (sockets->mux >= 0)
		(void)unlink(config->mux_socket);
}
