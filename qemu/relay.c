// SPDX-License-Identifier: GPL-2.0
/*
 * The host's end of a virtual machine: starts QEMU, hands the guest its command,
 * carries standard input in and output out, and says in a file how it ended.
 *
 *	relay [-t SECONDS] [-T] -r RUNFILE -o RESULT -- QEMU ARG...
 *
 * QEMU finds the link as file descriptor 3. RESULT gets one line:
 *
 *	done STATUS PROBLEMS	the command ended; what was wrong follows
 *	unborn			the machine ended before anything of ours had run in it
 *	lost			it ended, or broke, before the command did
 *	timeout			it took too long
 *	signal N		someone stopped us, or our output's reader is gone
 *
 * It must never leave a QEMU behind, however it ends, and never judge: what the
 * result means is for the caller to say.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "link.h"

struct buffer {
	char *data;
	size_t len;	/* bytes in it */
	size_t size;	/* bytes it has room for */
};

static FILE *result;
static pid_t qemu = -1;
static struct termios cooked;
static bool raw;
static bool ready;	/* the guest has booted */

static void restore_terminal(void)
{
	if (raw)
		tcsetattr(0, TCSANOW, &cooked);
}

static void finish_with(const char *how, const char *text, int len)
{
	if (qemu > 0) {
		kill(-qemu, SIGKILL);
		waitpid(qemu, NULL, 0);
	}
	restore_terminal();
	if (fprintf(result, "%s\n%.*s", how, len, text) < 0 || fclose(result))
		err(1, "result");
	exit(0);
}

static void finish(const char *how)
{
	finish_with(how, "", 0);
}

static void finish_lost(void)
{
	finish(ready ? "lost" : "unborn");
}

static void append(struct buffer *b, const void *data, size_t len)
{
	if (b->len + len > b->size) {
		b->size = (b->len + len) * 2;
		b->data = realloc(b->data, b->size);
		if (!b->data)
			err(1, "memory");
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void consume(struct buffer *b, size_t len)
{
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

static void append_frame(struct buffer *b, uint32_t type, const void *data, uint32_t len)
{
	struct link_head head = { .type = type, .len = len };

	append(b, &head, sizeof(head));
	append(b, data, len);
}

static void append_file(struct buffer *b, const char *name)
{
	struct buffer file = { 0 };
	char chunk[4096];
	size_t n;
	FILE *f = fopen(name, "re");

	if (!f)
		err(1, "%s", name);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		append(&file, chunk, n);
	fclose(f);
	append_frame(b, LINK_RUN, file.data, file.len);
	free(file.data);
}

static void append_window(struct buffer *b)
{
	struct winsize ws = { 0 };
	char text[32];

	if (!ioctl(0, TIOCGWINSZ, &ws)) {
		snprintf(text, sizeof(text), "%ux%u", ws.ws_row, ws.ws_col);
		append_frame(b, LINK_SIZE, text, strlen(text) + 1);
	}
}

/* Output goes out at once and whole; a slow reader makes the guest wait. */
static void put(const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(1, data, len);

		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){ .fd = 1, .events = POLLOUT }, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			finish(errno == EPIPE ? "signal 13" : "signal 1");
		data += n;
		len -= n;
	}
}

/* Takes whole frames off the front of what the guest has sent. */
static void receive(struct buffer *b)
{
	struct link_head head;

	while (b->len >= sizeof(head)) {
		char *body = b->data + sizeof(head);

		memcpy(&head, b->data, sizeof(head));
		if (b->len < sizeof(head) + head.len)
			return;
		if (head.type == LINK_OUT) {
			put(body, head.len);
		} else if (head.type == LINK_READY) {
			ready = true;
		} else if (head.type == LINK_DONE && head.len >= sizeof(struct link_done)) {
			struct link_done done;
			char how[64];

			memcpy(&done, body, sizeof(done));
			snprintf(how, sizeof(how), "done %d %u", done.status, done.problems);
			finish_with(how, body + sizeof(done), head.len - sizeof(done));
		} else {
			finish_lost();
		}
		consume(b, sizeof(head) + head.len);
	}
}

static pid_t start(char **argv, int link)
{
	pid_t parent = getpid(), pid = fork();
	sigset_t none;

	if (pid)
		return pid;
	/* Its own group: an interrupt from the keyboard is for us to act on. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(link, 3) < 0 || (link != 3 && close(link)))
		_exit(1);
	fcntl(3, F_SETFD, 0);
	/* Standard input and output are the command's, not QEMU's. */
	dup2(open("/dev/null", O_RDWR), 0);
	dup2(2, 1);
	execvp(argv[0], argv);
	warn("%s", argv[0]);
	_exit(127);
}

static void make_raw(void)
{
	struct termios t;

	if (tcgetattr(0, &cooked))
		return;
	raw = true;
	t = cooked;
	cfmakeraw(&t);
	tcsetattr(0, TCSANOW, &t);
}

static int remaining(const struct timespec *end)
{
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
	return ms < 0 ? 0 : ms > 1000000 ? 1000000 : ms;
}

static void handle_signal(int sigs, struct buffer *out)
{
	struct signalfd_siginfo si;
	char how[32];

	if (read(sigs, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH) {
		if (raw)
			append_window(out);
		return;
	}
	snprintf(how, sizeof(how), "signal %u", si.ssi_signo);
	finish(how);
}

int main(int argc, char **argv)
{
	struct buffer in = { 0 }, out = { 0 };
	const char *runfile = NULL;
	struct timespec end;
	bool tty = false;
	bool eof = false;
	long timeout = 0;
	sigset_t mask;
	int pair[2];
	int sigs, c;

	while ((c = getopt(argc, argv, "+t:Tr:o:")) != -1) {
		if (c == 't')
			timeout = atol(optarg);
		else if (c == 'T')
			tty = true;
		else if (c == 'r')
			runfile = optarg;
		else if (c == 'o')
			result = fopen(optarg, "we");
		else
			return 2;
	}
	if (!runfile || !result || optind == argc)
		errx(2, "usage: relay [-t SECONDS] [-T] -r RUNFILE -o RESULT -- QEMU ARG...");

	/* When the script that started us is killed, so are we, and QEMU with us. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGWINCH);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	sigs = signalfd(-1, &mask, SFD_CLOEXEC);
	if (sigs < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(1, "link");
	append_file(&out, runfile);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout;
	qemu = start(argv + optind, pair[1]);
	if (qemu < 0)
		err(1, "fork");
	close(pair[1]);
	if (tty)
		make_raw();

	for (;;) {
		struct pollfd p[] = {
			{ .fd = pair[0], .events = POLLIN | (out.len ? POLLOUT : 0) },
			{ .fd = sigs, .events = POLLIN },
			/* Not read ahead: what the command does not want stays where it is. */
			{ .fd = eof || out.len ? -1 : 0, .events = POLLIN },
		};
		char chunk[LINK_MAX];
		ssize_t n;

		n = poll(p, 3, timeout ? remaining(&end) : -1);
		if (timeout && !remaining(&end))
			finish("timeout");
		if (n < 0)
			continue;
		if (p[0].revents & POLLOUT) {
			n = send(pair[0], out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				consume(&out, n);
		}
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR)) {
			n = recv(pair[0], chunk, sizeof(chunk), MSG_DONTWAIT);
			if (!n || (n < 0 && errno != EAGAIN))
				finish_lost();
			if (n > 0) {
				append(&in, chunk, n);
				receive(&in);
			}
		}
		if (p[1].revents)
			handle_signal(sigs, &out);
		if (p[2].revents) {
			n = read(0, chunk, sizeof(chunk));
			if (n > 0) {
				append_frame(&out, LINK_IN, chunk, n);
			} else if (!n || (errno != EAGAIN && errno != EINTR)) {
				append_frame(&out, LINK_EOF, NULL, 0);
				eof = true;
			}
		}
	}
}
