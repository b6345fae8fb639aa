// The UDP socket towards the relay. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_TRANSPORT_DATAGRAM_H
#define CLIENT_ENGINE_TRANSPORT_DATAGRAM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct datagram;

// Connected to the address of `peer` (of the control connection) at `port`: the kernel drops what comes from elsewhere.
enum err datagram_open(const struct sockaddr_storage *peer, uint16_t port, struct datagram **out) CHECK_RESULT;
void datagram_close(struct datagram *datagram); // NULL is fine
int datagram_descriptor(const struct datagram *datagram);

// ERR_AGAIN: the socket's buffer is full; ERR_IO: the system refused.
enum err datagram_send(struct datagram *datagram, const uint8_t *bytes, size_t size) CHECK_RESULT;
// Datagrams that stand one behind the other in `bytes`: all of `segment_bytes`, the last one may be shorter. They leave by
// one system call and go through the kernel as one packet as far as it goes (UDP GSO). Once the kernel has refused that,
// this socket sends them one by one. Returns how many were refused.
enum { DATAGRAM_TRAIN_MAX = 8 };
size_t datagram_send_train(struct datagram *datagram, const uint8_t *bytes, size_t size, size_t segment_bytes);
uint64_t datagram_trains(const struct datagram *datagram); // how many left as such
// Take what has come, up to a bound for fairness. `arrival_ns` is the kernel's time of arrival, CLOCK_REALTIME.
// `size` may exceed what a packet may have: such datagrams are handed over cut.
void datagram_receive(struct datagram *datagram,
		      void (*on_datagram)(void *context, uint8_t *bytes, size_t size, uint64_t arrival_ns), void *context);

#endif
