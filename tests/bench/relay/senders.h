// Senders whose packets the generator makes: the crowd writes them to a file once it has joined, who sends takes them
// from there and writes back how far their counters got. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_BENCH_RELAY_SENDERS_H
#define TESTS_BENCH_RELAY_SENDERS_H

#include "tests/bench/relay/wire.h"

#include <stdbool.h>
#include <stddef.h>

// One line each: handle index key counter port timestamp sequences… False, with a message on stderr, if it cannot be.
bool senders_read(const char *path, struct wire_sender *out, size_t *count);
bool senders_write(const char *path, const struct wire_sender *senders, size_t count);
// For relays that check nothing.
struct wire_sender senders_anybody(void);
// A media datagram of the sender: hop header and RTP header, `size` bytes of pattern behind them.
void senders_template(uint8_t *datagram, size_t size);
// What other relays take, complete but for sequence number and timestamp.
void senders_plain_template(enum wire_plain plain, uint8_t *datagram, size_t size);
// Make it that sender's next packet of a stream, with its time and ordinal behind the headers.
void senders_stamp(struct wire_sender *sender, uint32_t stream, uint64_t now_ns, uint64_t ordinal, uint8_t *datagram, size_t size);

#endif
