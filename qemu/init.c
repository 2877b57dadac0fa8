// SPDX-License-Identifier: GPL-2.0
/*
 * Process 1 of the test guest. Shows the host's files under a throw-away overlay,
 * loads the module, runs one command, unloads the module and says what was left.
 *
 * It is the only process that talks to the host (link.h). It must never write to
 * the host's files, never mount anything over /tmp, and never end by itself: the
 * relay ends the machine when it has heard the result, and a machine that stops
 * without one has crashed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "link.h"

#define MAX_WORDS	4096
#define GROUP		"lwc"	/* who may open /dev/lwc, as packaging/ has it */

struct job {
	char *argv[MAX_WORDS];
	char *envp[MAX_WORDS];
	char *cwd;
	char *terminal;
	char *module;
	char *params;
	char *modules_dir;
	char *writable[8];
	int nargs, nenv, nwritable;
	bool layer;
	bool kmemleak;
};

static int link_fd = -1;
static char problems[8192];
static unsigned int nproblems;
static unsigned long module_loaded_at;	/* jiffies */

/* ---- saying what is wrong ---- */

static void problem(const char *fmt, ...)
{
	size_t at = strlen(problems);
	va_list ap;

	nproblems++;
	va_start(ap, fmt);
	vsnprintf(problems + at, sizeof(problems) - at, fmt, ap);
	va_end(ap);
	at = strlen(problems);
	snprintf(problems + at, sizeof(problems) - at, "\n");
}

static void send_all(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(link_fd, p, len);

		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = link_fd, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return;
		else if (n > 0)
			p += n, len -= n;
	}
}

static void send_frame(uint32_t type, const void *data, uint32_t len)
{
	struct link_head head = { .type = type, .len = len };

	send_all(&head, sizeof(head));
	send_all(data, len);
}

static void __attribute__((noreturn)) done(int status)
{
	static char frame[sizeof(struct link_done) + sizeof(problems)];
	struct link_done d = { .status = status, .problems = nproblems };
	size_t len = strlen(problems);

	memcpy(frame, &d, sizeof(d));
	memcpy(frame + sizeof(d), problems, len);
	send_frame(LINK_DONE, frame, sizeof(d) + len);
	for (;;)
		pause();
}

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problem("guest: %s: %s", text, strerror(errno));
	if (link_fd >= 0)
		done(97);
	/* Nobody to tell but the console; process 1 that exits is a panic. */
	fprintf(stderr, "%s\n", problems);
	exit(97);
}

/* ---- small helpers ---- */

static void msleep(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Returns the length, or -1; the text is always terminated. */
static ssize_t read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	buf[0] = 0;
	if (fd < 0)
		return -1;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	close(fd);
	buf[len] = 0;
	return n < 0 ? -1 : (ssize_t)len;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static void make_dirs(const char *path)
{
	char buf[4096];
	char *p;

	snprintf(buf, sizeof(buf), "%s", path);
	for (p = buf + 1; *p; p++) {
		if (*p == '/') {
			*p = 0;
			mkdir(buf, 0755);
			*p = '/';
		}
	}
	mkdir(buf, 0755);
}

static void must_mount(const char *what, const char *where, const char *type,
		       unsigned long flags, const char *data)
{
	make_dirs(where);
	if (mount(what, where, type, flags, data))
		give_up("mount %s on %s", type ? type : what, where);
}

/* A file system which not every kernel has. */
static void may_mount(const char *type, const char *where, const char *data)
{
	make_dirs(where);
	if (mount(type, where, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) &&
	    errno != ENODEV && errno != EBUSY && errno != ENOENT)
		give_up("mount %s on %s", type, where);
}

/* ---- before the host's files are there ---- */

static void load_drivers(void)
{
	char list[4096], *name, *rest = list;

	if (read_text("/drivers/list", list, sizeof(list)) < 0)
		return;
	while ((name = strsep(&rest, "\n"))) {
		char path[4200];
		int fd;

		if (!*name)
			continue;
		snprintf(path, sizeof(path), "/drivers/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
			give_up("load %s", path);
		close(fd);
	}
}

static bool open_link(void)
{
	struct dirent *e;
	bool found = false;
	DIR *dir = opendir("/sys/class/virtio-ports");

	while (dir && !found && (e = readdir(dir))) {
		char path[600], name[64];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		if (read_text(path, name, sizeof(name)) <= 0)
			continue;
		name[strcspn(name, "\n")] = 0;
		if (strcmp(name, LINK_PORT))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		link_fd = open(path, O_RDWR | O_CLOEXEC);
		found = link_fd >= 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

static void read_exactly(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(link_fd, p, len);

		if (n > 0)
			p += n, len -= n;
		else if (!n || errno != EINTR)
			give_up("link");
	}
}

static void read_job(struct job *job)
{
	struct link_head head;
	char *p, *end;

	read_exactly(&head, sizeof(head));
	errno = EPROTO;
	if (head.type != LINK_RUN)
		give_up("first frame");
	p = malloc(head.len + 1);
	if (!p)
		give_up("memory");
	read_exactly(p, head.len);
	p[head.len] = 0;
	for (end = p + head.len; p < end; p += strlen(p) + 1) {
		char *word = p + 1;

		errno = E2BIG;
		if (*p == 'A' && job->nargs < MAX_WORDS - 1)
			job->argv[job->nargs++] = word;
		else if (*p == 'E' && job->nenv < MAX_WORDS - 1)
			job->envp[job->nenv++] = word;
		else if (*p == 'C')
			job->cwd = word;
		else if (*p == 'T')
			job->terminal = word;
		else if (*p == 'M')
			job->module = word;
		else if (*p == 'P')
			job->params = word;
		else if (*p == 'D')
			job->modules_dir = word;
		else if (*p == 'W' && job->nwritable < 8)
			job->writable[job->nwritable++] = word;
		else if (*p == 'L')
			job->layer = true;
		else if (*p == 'K')
			job->kmemleak = true;
		else
			give_up("bad or too many words: %.40s", p);
	}
}

/* ---- the guest's files ---- */

static void mount_root(const struct job *job)
{
	static const char p9[] = "trans=virtio,version=9p2000.L,msize=512000,cache=loose";
	static const char * const move[] = { "/dev", "/proc", "/sys" };
	char path[4200], tag[16];
	unsigned int i;

	must_mount("hostroot", "/host", "9p", MS_RDONLY, p9);
	if (job->layer)
		must_mount("layer", "/layer", "9p", MS_RDONLY, p9);
	must_mount("tmpfs", "/rw", "tmpfs", 0, "mode=755");
	make_dirs("/rw/upper");
	make_dirs("/rw/work");
	snprintf(path, sizeof(path), "lowerdir=%s/host,upperdir=/rw/upper,workdir=/rw/work",
		 job->layer ? "/layer:" : "");
	must_mount("root", "/root", "overlay", 0, path);
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/root%s", move[i]);
		must_mount(move[i], path, NULL, MS_MOVE, NULL);
	}
	if (job->modules_dir) {
		snprintf(path, sizeof(path), "/host%s", job->modules_dir);
		must_mount(path, "/root/usr/lib/modules", NULL, MS_BIND, NULL);
	}
	for (i = 0; i < (unsigned int)job->nwritable; i++) {
		snprintf(path, sizeof(path), "/root%s", job->writable[i]);
		snprintf(tag, sizeof(tag), "write%u", i);
		must_mount(tag, path, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000");
	}
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		give_up("switch root");
}

static void mount_the_rest(void)
{
	must_mount("devpts", "/dev/pts", "devpts", 0, "mode=620,gid=5,ptmxmode=666");
	must_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	may_mount("mqueue", "/dev/mqueue", NULL);
	may_mount("hugetlbfs", "/dev/hugepages", NULL);
	may_mount("cgroup2", "/sys/fs/cgroup", NULL);
	may_mount("debugfs", "/sys/kernel/debug", NULL);
	may_mount("tracefs", "/sys/kernel/tracing", NULL);
	if (symlink("/proc/self/fd", "/dev/fd") ||
	    symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") ||
	    symlink("/proc/self/fd/2", "/dev/stderr"))
		give_up("/dev/fd");
}

static void set_up_system(void)
{
	struct rlimit files = { .rlim_cur = 1024, .rlim_max = 1048576 };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		give_up("lo");
	close(fd);
	sethostname("lwc-guest", 9);
	setrlimit(RLIMIT_NOFILE, &files);
}

/*
 * What the sysusers file does where packages are installed. (No getgrnam: NSS is
 * not for static programs.)
 */
static gid_t group_id(void)
{
	FILE *f = fopen("/etc/group", "a+e");
	struct group *g;
	gid_t gid = 999;

	if (!f)
		give_up("/etc/group");
	while ((g = fgetgrent(f))) {
		if (!strcmp(g->gr_name, GROUP)) {
			gid = g->gr_gid;
			fclose(f);
			return gid;
		}
		/* A number below all that are taken among the system's own. */
		if (g->gr_gid <= gid && g->gr_gid > 900)
			gid = g->gr_gid - 1;
	}
	if (fprintf(f, GROUP ":x:%u:\n", gid) < 0 || fclose(f))
		give_up("/etc/group");
	return gid;
}

/* ---- the module ---- */

/* The kernel's clock as kmemleak writes it, of which nothing else tells. */
static unsigned long jiffies(void)
{
	unsigned long now = 0;
	char line[256];
	FILE *f = fopen("/proc/timer_list", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "jiffies: %lu", &now) == 1)
			break;
	if (f)
		fclose(f);
	return now;
}

static void load_module(const struct job *job)
{
	int fd = open(job->module, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		give_up("%s", job->module);
	module_loaded_at = jiffies();
	if (syscall(SYS_finit_module, fd, job->params ? job->params : "", 0))
		give_up("the kernel refuses the module (its log says why)");
	close(fd);
	/* What the udev rule does. */
	if (chown("/dev/lwc", 0, group_id()) || chmod("/dev/lwc", 0660))
		give_up("/dev/lwc");
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

static long contexts(void)
{
	char text[64];

	if (read_text("/sys/class/misc/lwc/contexts", text, sizeof(text)) <= 0)
		return 0;
	return atol(text);
}

static void unload_module(void)
{
	int i, r = 0;

	if (!exists("/sys/module/lwc"))
		return;
	/* What the last process held is given back by work that may still be queued. */
	for (i = 0; i < 100 && contexts(); i++)
		msleep(50);
	if (contexts())
		problem("leak: %ld contexts are left and no process", contexts());
	for (i = 0; i < 100; i++) {
		r = syscall(SYS_delete_module, "lwc", O_NONBLOCK);
		if (!r || (errno != EAGAIN && errno != EBUSY))
			break;
		msleep(50);
	}
	if (r)
		problem("unload: the module cannot be unloaded: %s", strerror(errno));
	else if (exists("/sys/module/lwc") || exists("/dev/lwc"))
		problem("unload: something of the module stays behind");
}

/* Bits of /proc/sys/kernel/tainted which always mean that something went wrong. */
static void check_taint(void)
{
	static const struct { int bit; const char *what; } bad[] = {
		{ 5, "a bad page" }, { 7, "an oops" }, { 9, "a warning" }, { 14, "a soft lockup" },
	};
	char text[64];
	unsigned long taint;
	unsigned int i;

	read_text("/proc/sys/kernel/tainted", text, sizeof(text));
	taint = strtoul(text, NULL, 10);
	for (i = 0; i < 4; i++)
		if (taint & 1ul << bad[i].bit)
			problem("kernel: had %s (its log follows)", bad[i].what);
}

/* ---- leaked memory ---- */

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

/*
 * kmemleak reports what no memory refers to at two scans, unchanged. The first
 * scan is made while the module is there, the second when it has gone, and with
 * it whatever its own variables referred to. Functions of the module have no
 * names by then, so we keep them.
 */
static struct {
	unsigned long addr;
	char name[64];
} symbols[4096];
static int nsymbols;

static void leaks_before_unload(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[512], type;

	while (f && nsymbols < 4096 && fgets(line, sizeof(line), f))
		if (strstr(line, "[lwc]") &&
		    sscanf(line, "%lx %c %63s", &symbols[nsymbols].addr, &type,
			   symbols[nsymbols].name) == 3)
			nsymbols++;
	if (f)
		fclose(f);
	if (write_text(KMEMLEAK, "scan"))
		problem("leak: kmemleak does not answer: %s", strerror(errno));
}

static const char *symbol(const char *line)
{
	const char *hex = strstr(line, "] 0x");
	unsigned long addr = hex ? strtoul(hex + 2, NULL, 16) : 0;
	int i, best = -1;

	for (i = 0; i < nsymbols; i++)
		if (symbols[i].addr <= addr && addr - symbols[i].addr < 65536 &&
		    (best < 0 || symbols[i].addr > symbols[best].addr))
			best = i;
	return addr && best >= 0 ? symbols[best].name : NULL;
}

static void report_leak(char *report)
{
	char *line;

	while ((line = strsep(&report, "\n"))) {
		const char *name = symbol(line);

		if (*line)
			problem("leak: %s%s%s", line, name ? " in " : "", name ? name : "");
	}
}

/* Of what was allocated since the module was loaded: boot leaves suspects of its own. */
static void leaks_after_unload(void)
{
	static char text[1 << 20];
	char *report, *next;
	int shown = 0;

	if (write_text(KMEMLEAK, "scan") || read_text(KMEMLEAK, text, sizeof(text)) < 0) {
		problem("leak: kmemleak does not answer: %s", strerror(errno));
		return;
	}
	for (report = strstr(text, "unreferenced object"); report; report = next) {
		char *born = strstr(report, ", jiffies ");

		next = strstr(report + 1, "unreferenced object");
		if (next)
			next[-1] = 0;
		if (born && strtoul(born + 10, NULL, 10) >= module_loaded_at && shown++ < 10)
			report_leak(report);
	}
	if (shown > 10)
		problem("leak: and %d more", shown - 10);
}

/* ---- the command ---- */

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

static void run(struct job *job)
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
static void end_all_processes(void)
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

static void check_afterwards(const struct job *job)
{
	bool leaks = job->module && job->kmemleak && exists(KMEMLEAK);

	end_all_processes();
	if (leaks)
		leaks_before_unload();
	if (job->module)
		unload_module();
	if (leaks)
		leaks_after_unload();
	check_taint();
}

int main(void)
{
	static struct job job;
	int i;

	umask(022);
	must_mount("proc", "/proc", "proc", 0, NULL);
	must_mount("sysfs", "/sys", "sysfs", 0, NULL);
	must_mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
	load_drivers();
	for (i = 0; i < 3000 && !open_link(); i++)
		msleep(10);
	if (link_fd < 0)
		give_up("no link to the host");
	read_job(&job);
	mount_root(&job);
	mount_the_rest();
	set_up_system();
	if (job.module)
		load_module(&job);
	if (job.nargs)
		run(&job);
	check_afterwards(&job);
	done(command.status);
}
