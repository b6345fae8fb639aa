// What the relay says about itself, as JSON. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_TCS_STATUS_H
#define RELAY_TCS_STATUS_H

#include <stddef.h>

struct relay;

enum tcs_status_kind { TCS_STATUS_STATUS, TCS_STATUS_MEETINGS, TCS_STATUS_COUNTERS, TCS_STATUS_ENGINE, TCS_STATUS_KINDS };

const char *tcs_status_name(enum tcs_status_kind kind); // as in requests: "status"
// One line with a line feed, malloc; NULL without memory. Counters are sums of kernel, media threads and control thread.
//   status    {"version","uptime_s","loop","relay","name","udp_port","management":{"connected","synced","restarts"},
//              "meetings","participants","connections","handshakes","engine","engines":[{"device","ifindex","engine","reason"}],
//              "table":{"changes","waiting","history_bytes"},"kernel":{"media_received","media_forwarded"},
//              "latency_us":{"count","p50","p99","p999","max"},"kernel_latency_us":{"count","p50","p99"},
//              "drops":{..},"ups":{..},"counts":{..}}
//   meetings  {"meetings":[{"meeting","incarnation","engine","receivers","in_kernel","participants":[{"participant","index",
//              "path","address","streams"}]}]}
//   counters  {"drops":{..},"ups":{..},"counts":{..}}
//   engine    {"engine","engines":[..]}
char *tcs_status_emit(const struct relay *relay, enum tcs_status_kind kind, size_t *size);

#endif
