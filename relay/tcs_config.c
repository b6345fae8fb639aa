// SPDX-License-Identifier: Apache-2.0
#include "relay/tcs_config.h"

#include "relay/engine.h"
#include "relay/loop.h"
#include "relay/media_threads.h"

#include <stddef.h>

#define AT(field) offsetof(struct tcs_config, field)

const struct option_row tcs_config_rows[] = {
	{ "listen-address", OPTION_ADDRESS, AT(listen_address), 1, 0, NULL, "::", NULL,
	  "address of the TCP and UDP ports; :: is every address, IPv4 and IPv6" },
	{ "listen-port", OPTION_NUMBER, AT(listen_port), 0, 65535, NULL, "443", NULL,
	  "TCP port of control connections; 0: none, they come through mux-socket" },
	{ "udp-port", OPTION_NUMBER, AT(udp_port), 0, 65535, NULL, "4443", NULL, "UDP port of media; 0: none, media goes over TLS" },
	{ "advertised-udp-port", OPTION_NUMBER, AT(advertised_udp_port), 0, 65535, NULL, "0", NULL,
	  "UDP port that clients are told, where a firewall maps it; 0: udp-port" },
	{ "relay-udp-port", OPTION_NUMBER, AT(relay_udp_port), 0, 65535, NULL, "0", NULL, "UDP port of media from other relays; 0: none" },
	{ "mux-socket", OPTION_PATH, AT(mux_socket), 0, 107, NULL, "", NULL,
	  "UNIX socket on which huisclos-mux passes connections; empty: none" },
	{ "state-directory", OPTION_PATH, AT(state_directory), 1, 200, NULL, "/var/lib/huisclos/tcs", NULL,
	  "registration, keys and journal" },
	{ "control-socket", OPTION_PATH, AT(control_socket), 0, 107, NULL, TCS_CONFIG_CONTROL_SOCKET, NULL,
	  "UNIX socket for tcsctl; empty: none" },
	{ "user", OPTION_TEXT, AT(user), 0, 32, NULL, "", NULL, "account to run as once the ports are open; empty: stay" },
	{ "loop", OPTION_CHOICE, AT(loop), 0, 0, LOOP_CHOICES, "auto", NULL, "how sockets are served; auto: io_uring if allowed" },
	{ "fast-path", OPTION_CHOICE, AT(fast_path), 0, 0, ENGINE_WISH_CHOICES, "auto", NULL,
	  "who multiplies media: programs in the kernel (native XDP or tcx; auto: the best that a device can do) or user space" },
	{ "fast-path-devices", OPTION_TEXT, AT(fast_path_devices), 1, 255, NULL, "auto", NULL,
	  "network devices with a program, separated by commas; auto: all with an address" },
	{ "loader", OPTION_TEXT, AT(loader), 0, 255, NULL, "", NULL,
	  "program that puts the fast path into the kernel; empty: huisclos-loader in the folder of tcs" },
	{ "threads", OPTION_NUMBER, AT(threads), 0, MEDIA_THREADS_MAX, NULL, "16", NULL,
	  "threads that forward media in user space, at most one a core; 0: the control thread does it" },
	{ "handshake-threads", OPTION_NUMBER, AT(handshake_threads), 1, 16, NULL, "2", NULL, "threads for TLS handshakes" },
	{ "realtime-priority", OPTION_NUMBER, AT(realtime_priority), 0, 50, NULL, "5", NULL,
	  "SCHED_RR priority, so that packets do not wait for other programs; 0: ordinary scheduling" },
	{ "dscp", OPTION_NUMBER, AT(dscp), 0, 63, NULL, "34", NULL,
	  "DSCP of media to clients; 34 is AF41, 0 ordinary traffic" },
	{ "sender-rate-max", OPTION_NUMBER, AT(sender_rate_max), 0, 10000000, NULL, "50000", NULL,
	  "kbit/s that a participant may send; 0: no limit" },
	{ "shed-after", OPTION_NUMBER, AT(shed_after), 0, 1000, NULL, "2", NULL,
	  "full polls of a receive queue, 64 packets each, after which the kernel drops pictures until it is empty; 0: never" },
	{ "history-memory", OPTION_NUMBER, AT(history_memory), 1, 65536, NULL, "128", NULL,
	  "MiB for media of the last second, from which lost packets are sent again" },
	{ "log-level", OPTION_CHOICE, AT(log_level), 0, 0, "error|warning|notice|info|debug", "info", NULL,
	  "least urgent messages that are logged" },
	{ "meetings-max", OPTION_NUMBER, AT(meetings_max), 1, 100000, NULL, "1000", NULL, "meetings at a time" },
	{ "participants-max", OPTION_NUMBER, AT(participants_max), 1, 100000, NULL, "2000", NULL, "participants in all" },
	{ "participants-per-meeting-max", OPTION_NUMBER, AT(participants_per_meeting_max), 1, 10000, NULL, "300", NULL,
	  "participants of one meeting" },
	{ "connections-per-address-max", OPTION_NUMBER, AT(connections_per_address_max), 1, 100000, NULL, "500", NULL,
	  "connections of one client address or IPv6 network (/64); all of an office behind one NAT count as one" },
	{ "handshakes-max", OPTION_NUMBER, AT(handshakes_max), 1, 10000, NULL, "256", NULL,
	  "connections that have not joined yet; one address or IPv6 network (/64) gets a quarter of them" },
};
const size_t tcs_config_row_count = sizeof(tcs_config_rows) / sizeof(tcs_config_rows[0]);
