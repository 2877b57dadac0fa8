// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the command, carries its input and output, and clears up behind it. It must
 * never judge the command: its status is passed on as a shell would see it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

static struct {
	pid_t pid;
	int status;
	bool ended;
	int in;		/* we write its standard input here; -1: closed */
	int out;	/* we read its output here; -1: ended */
	bool tty;
} command = { .in = -1, .out = -1 };

static void set_window(const char *text)
{
	struct winsize ws = { 0 };

	if (sscanf(text, "%hux%hu", &ws.ws_row, &ws.ws_col) == 2)
		ioctl(command.out, TIOCSWINSZ, &ws);
}

static void become_command(struct job *job)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = job->envp;
	if (chdir(job->cwd)) {
		fprintf(stderr, "%s is not visible in the guest: %s\n", job->cwd, strerror(errno));
		_exit(126);
	}
	execvp(job->argv[0], job->argv);
	fprintf(stderr, "%s: %s\n", job->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void start_command(struct job *job)
{
	int in[2], out[2], master;

	if (job->terminal) {
		command.tty = true;
		command.pid = forkpty(&master, NULL, NULL, NULL);
		if (!command.pid)
			become_command(job);
		command.out = master;
		command.in = dup(master);
		set_window(job->terminal);
	} else {
		if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
			give_up("pipe");
		command.pid = fork();
		if (!command.pid) {
			setsid();
			dup2(in[0], 0);
			dup2(out[1], 1);
			dup2(out[1], 2);
			become_command(job);
		}
		close(in[0]);
		close(out[1]);
		command.in = in[1];
		command.out = out[0];
	}
	if (command.pid < 0)
		give_up("fork");
	fcntl(command.in, F_SETFL, O_NONBLOCK);
	fcntl(command.out, F_SETFL, O_NONBLOCK);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command.pid)
			continue;
		command.ended = true;
		command.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

/* Returns false when there is nothing more for now. */
static bool carry_output(void)
{
	char chunk[LINK_MAX];
	ssize_t n = read(command.out, chunk, sizeof(chunk));

	if (n > 0) {
		send_frame(LINK_OUT, chunk, n);
		return true;
	}
	/* A terminal without processes says EIO. */
	if (!n || (errno != EAGAIN && errno != EINTR)) {
		if (!command.tty || command.ended) {
			close(command.out);
			command.out = -1;
		}
	}
	return false;
}

static void close_input(void)
{
	if (command.in < 0)
		return;
	if (command.tty)
		(void)!write(command.in, "\4", 1);
	close(command.in);
	command.in = -1;
}

/* One frame from the host, kept until the command has taken all of it. */
static struct {
	struct link_head head;
	char data[LINK_MAX + 1];
	size_t have;	/* bytes of head and data read so far */
	size_t given;	/* bytes of data passed on */
} input;

static void frame_done(void)
{
	input.have = 0;
	input.given = 0;
}

static void give_input(void)
{
	size_t len = input.head.len - input.given;
	ssize_t n = len;

	if (command.in >= 0) {
		n = write(command.in, input.data + input.given, len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			close_input();
			n = len;
		}
	}
	input.given += n;
	if (input.given == input.head.len)
		frame_done();
}

static bool input_pending(void)
{
	return input.have >= sizeof(input.head) && input.head.type == LINK_IN &&
	       input.have == sizeof(input.head) + input.head.len;
}

static void receive(void)
{
	size_t head = sizeof(input.head);
	char *to = input.have < head ? (char *)&input.head + input.have :
				       input.data + input.have - head;
	size_t want = input.have < head ? head - input.have :
					  head + input.head.len - input.have;
	ssize_t n = want ? read(link_fd, to, want) : 0;

	if (n < 0)
		return;
	input.have += n;
	if (input.have < head)
		return;
	if (input.head.len > LINK_MAX)
		give_up("frame of %u bytes", input.head.len);
	if (input.have < head + input.head.len)
		return;
	input.data[input.head.len] = 0;
	if (input.head.type == LINK_IN) {
		give_input();
		return;
	}
	if (input.head.type == LINK_EOF)
		close_input();
	else if (input.head.type == LINK_SIZE && command.tty)
		set_window(input.data);
	frame_done();
}

int run_command(struct job *job)
{
	sigset_t mask;
	int sigs;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigs = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigs < 0)
		give_up("signalfd");
	start_command(job);
	while (!command.ended) {
		struct pollfd p[] = {
			{ .fd = sigs, .events = POLLIN },
			{ .fd = command.out, .events = POLLIN },
			{ .fd = input_pending() ? -1 : link_fd, .events = POLLIN },
			{ .fd = input_pending() ? command.in : -1, .events = POLLOUT },
		};
		struct signalfd_siginfo si;

		if (poll(p, 4, -1) < 0)
			continue;
		if (p[0].revents) {
			while (read(sigs, &si, sizeof(si)) > 0)
				;
			reap();
		}
		if (p[1].revents)
			carry_output();
		if (p[2].revents)
			receive();
		if (p[3].revents)
			give_input();
	}
	close(sigs);
	return command.status;
}

static bool is_kernel_thread(const char *pid)
{
	char path[300], line[64];

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	return read_text(path, line, sizeof(line)) == 0;
}

/* Names what is still there; a process without command line may also be a zombie. */
static void name_survivors(void)
{
	struct dirent *e;
	DIR *dir = opendir("/proc");

	while (dir && (e = readdir(dir))) {
		char path[600], comm[64];

		if (atoi(e->d_name) <= 1 || is_kernel_thread(e->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		read_text(path, comm, sizeof(comm));
		problem("process %s cannot be killed: %s", e->d_name, comm);
	}
	if (dir)
		closedir(dir);
	write_text("/proc/sysrq-trigger", "w");
}

/* Nobody may hold the module when it is unloaded. */
void end_all_processes(void)
{
	int i;

	for (i = 0; i < 300; i++) {
		kill(-1, SIGKILL);
		reap();
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			break;
		msleep(i < 20 ? 5 : 50);
	}
	if (i == 300)
		name_survivors();
	while (command.out >= 0 && carry_output())
		;
}
