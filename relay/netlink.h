// Routing netlink: sockets, requests and attributes. Needs no privilege. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_NETLINK_H
#define RELAY_NETLINK_H

#include "base/err.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

enum { NETLINK_REQUEST_MAX = 128 };

// Groups as bits (RTMGRP_LINK …). Does not block.
enum err netlink_open(uint32_t groups, int *out) CHECK_RESULT;

struct netlink_handler {
	void (*on_message)(void *context, const struct nlmsghdr *message);
	void *context;
};

// Give all messages that wait to the handler. ERR_FULL: some were lost.
enum err netlink_receive(int socket, const struct netlink_handler *handler) CHECK_RESULT;

// A request with a family header and attributes.
struct netlink_request {
	struct nlmsghdr header;
	uint8_t body[NETLINK_REQUEST_MAX];
};
void netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, const void *family_header, size_t size);
void netlink_add(struct netlink_request *request, uint16_t type, const void *value, size_t size);
// Send it under a number that tells its answer from others, and give all that is answered to the handler. ERR_NOT_FOUND if the kernel says that there is no such thing.
enum err netlink_ask(int socket, struct netlink_request *request, uint32_t sequence, const struct netlink_handler *handler) CHECK_RESULT;

// Attributes behind a family header of this size, by type, into a table of `max` + 1 pointers.
void netlink_attributes(const struct nlmsghdr *message, size_t header_size, const struct rtattr **out, size_t max);
void netlink_nested(const struct rtattr *outer, const struct rtattr **out, size_t max);
uint32_t netlink_u32(const struct rtattr *attribute); // 0 if it is NULL or short
uint16_t netlink_u16(const struct rtattr *attribute);

#endif
