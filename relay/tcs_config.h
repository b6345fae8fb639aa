// The relay's options. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TCS_CONFIG_H
#define RELAY_TCS_CONFIG_H

#include "base/options.h"

#define TCS_CONFIG_FILE "/etc/huisclos/tcs.conf"
#define TCS_CONFIG_CONTROL_SOCKET "/run/huisclos/tcs.sock"

struct tcs_config {
	char listen_address[OPTION_TEXT_MAX];
	uint64_t listen_port; // 0: connections come from the mux only
	uint64_t udp_port;    // 0: no UDP
	uint64_t advertised_udp_port; // 0: the same
	char mux_socket[OPTION_TEXT_MAX];     // empty: none
	char state_directory[OPTION_TEXT_MAX];
	char control_socket[OPTION_TEXT_MAX]; // empty: none
	char user[OPTION_TEXT_MAX];           // empty: stay
	unsigned loop;      // enum loop_choice
	uint64_t realtime_priority; // 0: ordinary scheduling
	unsigned log_level;
	unsigned fast_path; // enum engine_wish
	char fast_path_devices[OPTION_TEXT_MAX];
	char loader[OPTION_TEXT_MAX]; // empty: beside tcs
	uint64_t threads, handshake_threads;
	uint64_t relay_udp_port; // 0: none
	uint64_t dscp, sender_rate_max, shed_after, history_memory;
	uint64_t meetings_max, participants_max, participants_per_meeting_max, connections_per_address_max, handshakes_max;
};

extern const struct option_row tcs_config_rows[];
extern const size_t tcs_config_row_count;

#endif
