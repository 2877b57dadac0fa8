/* SPDX-License-Identifier: GPL-2.0 */
/*
 * descriptors.h - capabilities move like any other descriptor: over a socket.
 *
 * It must never use stdio or malloc(), whose locks may be held for ever in a context.
 */
#ifndef LWC_SELFTEST_DESCRIPTORS_H
#define LWC_SELFTEST_DESCRIPTORS_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <lwc.h>

#define ALL_RIGHTS		(LWC_MAY_SWITCH | LWC_MAY_OVERLAY | LWC_MAY_SYSCALL | \
				 LWC_MAY_RESTRICT | LWC_MAY_KEEP)

/* With a byte beside it. Return: 0 or -errno. */
static inline int send_descriptor_with(int sock, int fd, char byte, int flags)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &msg, flags) == 1 ? 0 : -errno;
}

/* Return: the descriptor or -errno; EPROTO: a message without one. */
static inline int take_descriptor_with(int sock, char *byte, int flags)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags) != 1)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static inline int send_descriptor(int sock, int fd)
{
	return send_descriptor_with(sock, fd, 0, 0);
}

static inline int take_descriptor(int sock)
{
	char byte;

	return take_descriptor_with(sock, &byte, 0);
}

#endif /* LWC_SELFTEST_DESCRIPTORS_H */
