// SPDX-License-Identifier: GPL-2.0
/*
 * LWC_PRIVATE: while a thread is inside nobody without CAP_SYS_PTRACE reads its memory
 * or registers, no signal comes in, and nobody who might come along may. Each way in is
 * first tried on the same thread outside, where it must work; all of it as an ordinary
 * user, since root may look.
 */
#include <grp.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "test.h"

#define SECRET_FD	555
#define MAGIC		0x5ec2e75ec2e75ec2ul

/* "hidden" in the private context alone. */
static char secret[PAGE] __attribute__((aligned(PAGE))) = "public";

static void be_ordinary(struct __test_metadata *_metadata)
{
	if (is_root()) {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(65534, 65534, 65534));
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	}
	/* As any program is that has not changed its user. */
	ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

/* The block in a process of an ordinary user, which /dev/lwc is open in. */
#define AS_ORDINARY(status)						\
	IN_CHILD(status)						\
		for (bool __once = (features(), be_ordinary(_metadata), true); __once; \
		     __once = false)

/* What someone got who looked. */
enum { NOTHING, PUBLIC, HIDDEN, N_CATCHES };

static int catch(const char *got)
{
	return !strcmp(got, "hidden") ? HIDDEN : !strcmp(got, "public") ? PUBLIC : NOTHING;
}

/* Each takes a thread's number: did it get through? */
struct way {
	const char *name;
	bool (*in)(pid_t tid);
	/* A file in /proc/PID/task/TID, where reading it is all there is to do. */
	const char *file;
};

static int catch_by_process_vm(pid_t tid)
{
	char got[8] = "";
	struct iovec local = { got, 7 }, remote = { secret, 7 };

	return process_vm_readv(tid, &local, 1, &remote, 1, 0) == 7 ? catch(got) : NOTHING;
}

static bool by_process_vm_readv(pid_t tid)
{
	return catch_by_process_vm(tid) != NOTHING;
}

static bool by_process_vm_writev(pid_t tid)
{
	char x = 'X';
	struct iovec local = { &x, 1 }, remote = { secret + 100, 1 };

	return process_vm_writev(tid, &local, 1, &remote, 1, 0) == 1;
}

static int path_of(char *path, size_t size, pid_t tid, const char *what)
{
	return snprintf(path, size, "/proc/%d/task/%d/%s", getppid(), tid, what);
}

static int open_of(pid_t tid, const char *what, int flags)
{
	char path[64];

	path_of(path, sizeof(path), tid, what);
	return open(path, flags | O_CLOEXEC);
}

static int read_mem(pid_t tid, int flags)
{
	int fd = open_of(tid, "mem", flags);
	char got[8] = "";
	ssize_t n;

	if (fd < 0)
		return NOTHING;
	n = pread(fd, got, 7, (uintptr_t)secret);
	close(fd);
	return n == 7 ? catch(got) : NOTHING;
}

static int catch_by_mem(pid_t tid)
{
	return read_mem(tid, O_RDONLY);
}

static bool by_mem(pid_t tid)
{
	return read_mem(tid, O_RDWR) != NOTHING;
}

static bool by_link(pid_t tid, const char *what)
{
	char path[64], target[256];

	path_of(path, sizeof(path), tid, what);
	return readlink(path, target, sizeof(target)) > 0;
}

static bool by_cwd(pid_t tid)
{
	return by_link(tid, "cwd");
}

static bool by_root(pid_t tid)
{
	return by_link(tid, "root");
}

static bool by_exe(pid_t tid)
{
	return by_link(tid, "exe");
}

static bool by_fd_link(pid_t tid)
{
	return by_link(tid, "fd/555");
}

static bool has_entries(DIR *dir)
{
	struct dirent *e;
	bool found = false;

	while ((e = readdir(dir)))
		found |= e->d_name[0] != '.';
	return found;
}

static bool by_list(const char *path)
{
	DIR *dir = opendir(path);
	bool found;

	if (!dir)
		return false;
	found = has_entries(dir);
	closedir(dir);
	return found;
}

static bool by_fd_list(pid_t tid)
{
	char path[64];

	path_of(path, sizeof(path), tid, "fd");
	return by_list(path);
}

/* By a directory that was opened while the thread was outside. */
static bool by_old_fd_list(pid_t tid)
{
	static DIR *dir;
	char path[64];

	if (!dir) {
		path_of(path, sizeof(path), tid, "fd");
		dir = opendir(path);
	}
	if (!dir)
		return false;
	rewinddir(dir);
	return has_entries(dir);
}

static bool by_map_files(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/map_files", tid);
	return by_list(path);
}

static bool by_fd(pid_t tid)
{
	int fd = open_of(tid, "fd/555", O_RDONLY);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool by_pidfd_getfd(pid_t tid)
{
	int pidfd = syscall(SYS_pidfd_open, tid, 0), fd;

	if (pidfd < 0)
		return false;
	fd = syscall(SYS_pidfd_getfd, pidfd, SECRET_FD, 0);
	close(pidfd);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool by_kcmp(pid_t tid)
{
	return syscall(SYS_kcmp, tid, getpid(), KCMP_VM, 0, 0) >= 0;
}

static bool by_robust_list(pid_t tid)
{
	void *head = NULL;
	size_t len;

	return !syscall(SYS_get_robust_list, tid, &head, &len);
}

static bool is_stopped_at(pid_t tid)
{
	struct user_regs_struct regs;
	int status;
	bool r;

	r = waitpid(tid, &status, __WALL) == tid && !ptrace(PTRACE_GETREGS, tid, NULL, &regs);
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return r;
}

static bool by_ptrace_attach(pid_t tid)
{
	return !ptrace(PTRACE_ATTACH, tid, NULL, NULL) && is_stopped_at(tid);
}

static bool by_ptrace_seize(pid_t tid)
{
	return !ptrace(PTRACE_SEIZE, tid, NULL, NULL) &&
	       !ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) && is_stopped_at(tid);
}

static int open_sampler(pid_t tid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 100000,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_regs_user = 0xff, .sample_stack_user = 1024,
		.exclude_kernel = 1, .exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Debian lets no ordinary user do it, most others do. */
static bool may_sample(void)
{
	int fd = open_sampler(0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool by_perf(pid_t tid)
{
	int fd = open_sampler(tid);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static const struct way ways[] = {
	{ "process_vm_readv", by_process_vm_readv, NULL },
	{ "process_vm_writev", by_process_vm_writev, NULL },
	{ "mem", by_mem, NULL },
	{ "maps", NULL, "maps" },
	{ "smaps", NULL, "smaps" },
	{ "smaps_rollup", NULL, "smaps_rollup" },
	{ "pagemap", NULL, "pagemap" },
	{ "environ", NULL, "environ" },
	{ "auxv", NULL, "auxv" },
	{ "syscall", NULL, "syscall" },
	{ "cmdline", NULL, "cmdline" },
	{ "personality", NULL, "personality" },
	{ "io", NULL, "io" },
	{ "fdinfo", NULL, "fdinfo/555" },
	{ "fd", by_fd, NULL },
	{ "fd link", by_fd_link, NULL },
	{ "fd list", by_fd_list, NULL },
	{ "map_files", by_map_files, NULL },
	{ "cwd", by_cwd, NULL },
	{ "root", by_root, NULL },
	{ "exe", by_exe, NULL },
	{ "pidfd_getfd", by_pidfd_getfd, NULL },
	{ "kcmp", by_kcmp, NULL },
	{ "get_robust_list", by_robust_list, NULL },
	{ "PTRACE_ATTACH", by_ptrace_attach, NULL },
	{ "PTRACE_SEIZE", by_ptrace_seize, NULL },
	{ "perf", by_perf, NULL },
	{ "fd list opened before", by_old_fd_list, NULL },
};

static bool try_way(const struct way *way, pid_t tid)
{
	char got[16];
	bool r;
	int fd;

	if (way->in)
		return way->in(tid);
	fd = open_of(tid, way->file, O_RDONLY);
	if (fd < 0)
		return false;
	r = read(fd, got, sizeof(got)) > 0;
	close(fd);
	return r;
}

/* Is there such a way in this kernel, for an ordinary user? */
static bool is_way(const struct way *way)
{
	/* This one needs a right besides. */
	if (way->in == by_map_files)
		return false;
	if (way->in == by_perf)
		return may_sample();
	return way->in || strcmp(way->file, "io") || !access("/proc/self/io", F_OK);
}

/* shm[0]: what the attacker is to do; shm[1]: its answer; shm[2]: which way. */
enum { IDLE, GO, STOP };

/* A helper of the same user, forked by the victim. */
static pid_t fork_attacker(void)
{
	pid_t victim = getpid(), pid;

	fflush(stderr);
	pid = fork();
	if (pid)
		return pid;
	while (shm[0] != STOP && getppid() == victim) {
		if (shm[0] == GO) {
			shm[1] = try_way(&ways[shm[2]], victim);
			shm[0] = IDLE;
		}
		usleep(100);
	}
	_exit(0);
}

static bool attack(int way)
{
	shm[2] = way;
	shm[0] = GO;
	while (shm[0] == GO)
		usleep(100);
	return shm[1];
}

static void end_attacker(struct __test_metadata *_metadata, pid_t pid)
{
	shm[0] = STOP;
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
}

static bool is_blocked(int sig)
{
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, sig) == 1;
}

static int n_blocked(void)
{
	int sig, n = 0;

	for (sig = 1; sig <= 64; sig++)
		/* The library keeps two of them to itself. */
		if (sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33)
			n += is_blocked(sig);
	return n;
}

static bool is_dumpable(void)
{
	return prctl(PR_GET_DUMPABLE) == 1;
}

LWC_TEST(hidden_and_undisturbed)
{
	sigset_t set;
	int ctx;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_SETMASK, &set, NULL));
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		EXPECT_EQ(60, n_blocked());
		EXPECT_FALSE(is_dumpable());
		/* What is done inside lasts until one leaves. */
		sigemptyset(&set);
		EXPECT_EQ(0, sigprocmask(SIG_SETMASK, &set, NULL));
		EXPECT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
		EXPECT_TRUE(is_dumpable());
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, n_blocked());
	EXPECT_TRUE(is_blocked(SIGUSR2));
	EXPECT_TRUE(is_dumpable());
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, n_blocked());
	EXPECT_TRUE(is_dumpable());
}

static volatile sig_atomic_t handled;

static void handle(int sig)
{
	(void)sig;
	handled++;
}

LWC_TEST(signals_wait)
{
	int ctx;

	signal(SIGUSR1, handle);
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		kill(getpid(), SIGUSR1);
		in.reply = handled;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(1, handled);
}

/* A helper of the same user, which was forked before: outside all is open, inside nothing. */
LWC_TEST(from_another_process)
{
	int ctx, status, fd;

	AS_ORDINARY(status) {
		unsigned int i;
		pid_t helper;

		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		EXPECT_EQ(SECRET_FD, dup2(fd, SECRET_FD));
		CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
			strcpy(secret, "hidden");
			for (i = 0; i < ARRAY_SIZE(ways); i++) {
				EXPECT_FALSE(attack(i)) {
					TH_LOG("way: %s", ways[i].name);
				}
			}
			in.reply = secret[100] != 'X';
		}
		ASSERT_LE(0, ctx);
		helper = fork_attacker();
		for (i = 0; i < 2 * ARRAY_SIZE(ways); i++) {
			const struct way *way = &ways[i % ARRAY_SIZE(ways)];

			/* Outside, and outside again once one was inside. */
			if (i == ARRAY_SIZE(ways))
				EXPECT_EQ(1, CALL(ctx, 0));
			if (!is_way(way))
				continue;
			EXPECT_TRUE(attack(i % ARRAY_SIZE(ways))) {
				TH_LOG("way: %s", way->name);
			}
		}
		end_attacker(_metadata, helper);
	}
	EXPECT_EQ(0, status);
}

/* The way in that stays open is to be root, or to hold CAP_SYS_PTRACE. */
LWC_TEST(root_may_look)
{
	pid_t helper;
	int ctx;

	NEED_ROOT();
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		strcpy(secret, "hidden");
		EXPECT_TRUE(attack(0));
		EXPECT_TRUE(attack(2));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	helper = fork_attacker();
	EXPECT_EQ(1, CALL(ctx, 0));
	end_attacker(_metadata, helper);
}

/* Someone at whose hands the thread is already, and who waits for it to go in. */
LWC_TEST(a_debugger_may_not_come_along)
{
	struct user_regs_struct regs;
	int status, ctx, inner;
	pid_t pid;

	AS_ORDINARY(status) {
		fflush(stderr);
		pid = fork();
		if (!pid) {
			CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
				in.reply = 1;
			}
			EXPECT_LE(0, ctx);
			EXPECT_EQ(1, CALL(ctx, 0));
			EXPECT_EQ(0, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
			EXPECT_ERR(lwc_switch, EPERM,
				   lwc_switch(ctx, 0, 0, &(struct lwc_event){ 0 }));
			raise(SIGSTOP);
			/* It has let go. */
			EXPECT_EQ(1, CALL(ctx, 0));
			_exit(0);
		}
		EXPECT_EQ(pid, waitpid(pid, &inner, 0));
		EXPECT_TRUE(WIFSTOPPED(inner));
		EXPECT_EQ(0, ptrace(PTRACE_GETREGS, pid, NULL, &regs));
		EXPECT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
		EXPECT_EQ(pid, waitpid(pid, &inner, 0));
		EXPECT_EQ(0, inner);
	}
	EXPECT_EQ(0, status);
}

/* A stopped thread shows its registers to who traces it: nobody may. */
LWC_TEST(stopped_inside)
{
	struct user_regs_struct regs;
	int status, ctx, inner;
	pid_t pid;

	AS_ORDINARY(status) {
		fflush(stderr);
		pid = fork();
		if (!pid) {
			be_ordinary(_metadata);
			CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
				raise(SIGSTOP);
			}
			raise(SIGSTOP);
			CALL(ctx, 0);
			_exit(0);
		}
		/* Outside: stopped, held, read, let go. */
		EXPECT_EQ(pid, waitpid(pid, &inner, WUNTRACED));
		EXPECT_EQ(0, ptrace(PTRACE_SEIZE, pid, NULL, NULL));
		EXPECT_EQ(pid, waitpid(pid, &inner, 0));
		EXPECT_EQ(0, ptrace(PTRACE_GETREGS, pid, NULL, &regs));
		EXPECT_EQ(0, ptrace(PTRACE_SETREGS, pid, NULL, &regs));
		EXPECT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
		kill(pid, SIGCONT);
		/* Inside. */
		EXPECT_EQ(pid, waitpid(pid, &inner, WUNTRACED));
		EXPECT_TRUE(WIFSTOPPED(inner));
		EXPECT_EQ(-1, ptrace(PTRACE_SEIZE, pid, NULL, NULL));
		EXPECT_EQ(EPERM, errno);
		EXPECT_EQ(-1, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
		EXPECT_EQ(-1, ptrace(PTRACE_GETREGS, pid, NULL, &regs));
		EXPECT_EQ(-1, ptrace(PTRACE_SETREGS, pid, NULL, &regs));
		EXPECT_EQ(-1, ptrace(PTRACE_PEEKDATA, pid, secret, NULL));
		kill(pid, SIGCONT);
		EXPECT_EQ(pid, waitpid(pid, &inner, 0));
		EXPECT_EQ(0, inner);
	}
	EXPECT_EQ(0, status);
}

/* The child says where it is in shm[30], the parent what it has done in shm[31]. */
static void meet(int at, int wait_for, long n)
{
	shm[at] = n;
	while (shm[wait_for] < n)
		usleep(100);
}

static void be_sampled(struct __test_metadata *_metadata)
{
	struct lwc_event ev;
	int ctx, fd;

	be_ordinary(_metadata);
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		in.reply = 1;
	}
	EXPECT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	meet(30, 31, 1);
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	meet(30, 31, 2);
	EXPECT_EQ(1, CALL(ctx, 0));
	/* Nor its own, which anyone in the process might read. */
	fd = open_sampler(0);
	EXPECT_LE(0, fd);
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	close(fd);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* Says what is mapped where, and takes no samples. */
static int open_recorder(pid_t tid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY, .mmap = 1, .mmap_data = 1,
		.exclude_kernel = 1, .exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void may_not_come_along(struct __test_metadata *_metadata, int (*open_event)(pid_t tid))
{
	int status, inner, fd;
	pid_t pid;

	AS_ORDINARY(status) {
		if (!may_sample()) {
			shm[50] = 1;
			_exit(0);
		}
		fflush(stderr);
		pid = fork();
		if (!pid) {
			be_sampled(_metadata);
			_exit(0);
		}
		while (!shm[30])
			usleep(100);
		fd = open_event(pid);
		EXPECT_LE(0, fd);
		meet(31, 30, 1);
		while (shm[30] < 2)
			usleep(100);
		close(fd);
		shm[31] = 2;
		EXPECT_EQ(pid, waitpid(pid, &inner, 0));
		EXPECT_EQ(0, inner);
	}
	EXPECT_EQ(0, status);
	if (shm[50])
		SKIP(return, "kernel.perf_event_paranoid lets no user sample");
}

LWC_TEST(a_profiler_may_not_come_along)
{
	may_not_come_along(_metadata, open_sampler);
}

LWC_TEST(a_recorder_may_not_come_along)
{
	may_not_come_along(_metadata, open_recorder);
}

static void *end_inside(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	shm[43] = syscall(SYS_gettid);
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		syscall(SYS_exit, MAGIC, MAGIC, MAGIC);
	}
	EXPECT_LE(0, ctx);
	/* Who joins closes it: there are thousands of rounds, and a limit to descriptors. */
	shm[44] = ctx;
	CALL(ctx, 0);
	return NULL;
}

/* A thread that ends inside goes back to where it was made, for the last time, and is seen. */
static void read_registers_all_the_time(pid_t victim)
{
	char path[64], text[200];
	ssize_t n;
	int fd;

	while (shm[40] != STOP && getppid() == victim) {
		snprintf(path, sizeof(path), "/proc/%d/task/%ld/syscall", victim, shm[43]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (n <= 0)
			continue;
		text[n] = '\0';
		shm[42]++;
		if (strstr(text, "5ec2e7"))
			shm[41] = 1;
	}
	_exit(0);
}

LWC_TEST(ends_inside)
{
	pthread_t thread;
	pid_t helper;
	double end;
	int status;

	AS_ORDINARY(status) {
		fflush(stderr);
		helper = fork();
		if (!helper)
			read_registers_all_the_time(getppid());
		end = seconds() + 3;
		while (seconds() < end && !shm[41]) {
			ASSERT_EQ(0, pthread_create(&thread, NULL, end_inside, _metadata));
			ASSERT_EQ(0, pthread_join(thread, NULL));
			EXPECT_EQ(0, close(shm[44]));
		}
		shm[40] = STOP;
		EXPECT_EQ(helper, waitpid(helper, NULL, 0));
		EXPECT_LT(0, shm[42]);
		EXPECT_EQ(0, shm[41]);
	}
	EXPECT_EQ(0, status);
}

/* Anyone may read where a program says its arguments are; it says that they are here. */
static int point_arguments_at(const char *at)
{
	struct prctl_mm_map map;
	char *text, *p;
	static char stat[4096];
	uint64_t field[64] = { 0 };
	int fd, n = 3;

	fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, stat, sizeof(stat) - 1) <= 0)
		return -1;
	close(fd);
	text = strrchr(stat, ')');
	for (p = strtok(text + 2, " "); p && n < 64; p = strtok(NULL, " "))
		field[n++] = strtoull(p, NULL, 10);
	map = (struct prctl_mm_map){
		.start_code = field[26], .end_code = field[27], .start_stack = field[28],
		.start_data = field[45], .end_data = field[46], .start_brk = field[47],
		.brk = (uintptr_t)sbrk(0),
		.arg_start = (uintptr_t)at, .arg_end = (uintptr_t)at + 7,
		.env_start = (uintptr_t)at + 7, .env_end = (uintptr_t)at + 8,
		.exe_fd = -1,
	};
	return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
}

static bool arguments_say(const char *text)
{
	char got[16] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, got, sizeof(got) - 1);

	close(fd);
	return n > 0 && !strcmp(got, text);
}

LWC_TEST(arguments)
{
	char *text = private_memory(PAGE);
	int open_to_see, hidden, status;

	AS_ORDINARY(status) {
		strcpy(text, "public");
		EXPECT_EQ(0, point_arguments_at(text));
		EXPECT_TRUE(arguments_say("public"));
		CONTEXT(open_to_see) {
			strcpy(text, "hidden");
			in.reply = arguments_say("hidden");
		}
		CONTEXT_WITH(hidden, NULL, 0, LWC_PRIVATE) {
			strcpy(text, "hidden");
			in.reply = arguments_say("hidden");
		}
		EXPECT_EQ(1, CALL(open_to_see, 0));
		EXPECT_EQ(0, CALL(hidden, 0));
		EXPECT_TRUE(arguments_say("public"));
	}
	EXPECT_EQ(0, status);
}

/* Races: someone who never stops, and a thread that comes and goes. */

static int catch_by_fd(pid_t tid)
{
	int fd = open_of(tid, "fd/555", O_RDONLY);
	char got[8] = "";
	ssize_t n;

	if (fd < 0)
		return NOTHING;
	n = pread(fd, got, 7, 0);
	close(fd);
	return n == 7 ? catch(got) : NOTHING;
}

static int catch_by_ptrace(pid_t tid)
{
	int status, r = NOTHING;
	char got[8] = "";
	long word;

	if (ptrace(PTRACE_ATTACH, tid, NULL, NULL))
		return NOTHING;
	if (waitpid(tid, &status, __WALL) == tid) {
		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, tid, secret, NULL);
		memcpy(got, &word, sizeof(got));
		if (!errno)
			r = catch(got);
		/* Registers would do as well, and nobody asks for them. */
		else
			r = HIDDEN;
	}
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return r;
}

static void put_file(struct __test_metadata *_metadata, const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	EXPECT_EQ(7, write(fd, text, 7));
	EXPECT_EQ(SECRET_FD, dup2(fd, SECRET_FD));
	close(fd);
}

static void race(struct __test_metadata *_metadata, int (*fn)(pid_t))
{
	pid_t helper, victim;
	struct lwc_event ev;
	double end;
	int ctx, r;

	put_file(_metadata, "public");
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		if (!shm[20]++) {
			strcpy(secret, "hidden");
			put_file(_metadata, "hidden");
		}
	}
	EXPECT_LE(0, ctx);
	victim = getpid();
	CALL(ctx, 0);
	shm[0] = GO;
	fflush(stderr);
	helper = fork();
	if (!helper) {
		while (shm[0] == GO && getppid() == victim)
			shm[10 + fn(victim)]++;
		_exit(0);
	}
	end = seconds() + 3;
	do {
		r = lwc_switch(ctx, 0, 0, &ev);
		/* Who is traced stays here. */
		EXPECT_TRUE(r == 0 || (r == -EPERM && fn == catch_by_ptrace));
		shm[21] += !r;
		if (!(++shm[22] % 64))
			usleep(1);
	} while (seconds() < end);
	end_attacker(_metadata, helper);
	EXPECT_EQ(0, shm[10 + HIDDEN]) {
		TH_LOG("%ld times, %ld public, %ld nothing", shm[10 + HIDDEN], shm[10 + PUBLIC],
		       shm[10]);
	}
	/* It did try, and got through where it may. */
	EXPECT_LT(0, shm[10 + PUBLIC]);
	EXPECT_LT(10, shm[21]);
}

static void race_as_ordinary(struct __test_metadata *_metadata, int (*fn)(pid_t))
{
	int status;

	AS_ORDINARY(status) {
		race(_metadata, fn);
	}
	EXPECT_EQ(0, status);
}

LWC_TEST(race_process_vm_readv)
{
	race_as_ordinary(_metadata, catch_by_process_vm);
}

LWC_TEST(race_mem)
{
	race_as_ordinary(_metadata, catch_by_mem);
}

LWC_TEST(race_fd)
{
	race_as_ordinary(_metadata, catch_by_fd);
}

LWC_TEST(race_debugger)
{
	race_as_ordinary(_metadata, catch_by_ptrace);
}

/* All general registers but the stack's, and the vector registers, on return. */
static volatile unsigned long returned[15 + 4 * 2] __attribute__((used));

static long __attribute__((noinline)) switch_and_look(struct lwc_switch_args *args, int ctx)
{
	register long ax asm("rax") = SYS_ioctl;
	register long di asm("rdi") = ctx;
	register long si asm("rsi") = LWC_IOC_SWITCH;
	register long dx asm("rdx") = (long)args;

	asm volatile("syscall\n"
		     "movq	%%rax, returned+0(%%rip)\n"
		     "movq	%%rbx, returned+8(%%rip)\n"
		     "movq	%%rcx, returned+16(%%rip)\n"
		     "movq	%%rdx, returned+24(%%rip)\n"
		     "movq	%%rsi, returned+32(%%rip)\n"
		     "movq	%%rdi, returned+40(%%rip)\n"
		     "movq	%%rbp, returned+48(%%rip)\n"
		     "movq	%%r8, returned+56(%%rip)\n"
		     "movq	%%r9, returned+64(%%rip)\n"
		     "movq	%%r10, returned+72(%%rip)\n"
		     "movq	%%r11, returned+80(%%rip)\n"
		     "movq	%%r12, returned+88(%%rip)\n"
		     "movq	%%r13, returned+96(%%rip)\n"
		     "movq	%%r14, returned+104(%%rip)\n"
		     "movq	%%r15, returned+112(%%rip)\n"
		     "movups	%%xmm0, returned+120(%%rip)\n"
		     "movups	%%xmm1, returned+136(%%rip)\n"
		     "movups	%%xmm7, returned+152(%%rip)\n"
		     "movups	%%xmm15, returned+168(%%rip)\n"
		     : "+r" (ax) : "r" (di), "r" (si), "r" (dx)
		     : "rcx", "r11", "memory");
	return ax;
}

static void __attribute__((noinline)) crash_with_magic(void)
{
	asm volatile("movabs	%0, %%rax\n"
		     "movq	%%rax, %%rbx\n"
		     "movq	%%rax, %%rcx\n"
		     "movq	%%rax, %%rdx\n"
		     "movq	%%rax, %%rsi\n"
		     "movq	%%rax, %%rdi\n"
		     "movq	%%rax, %%r8\n"
		     "movq	%%rax, %%r9\n"
		     "movq	%%rax, %%r10\n"
		     "movq	%%rax, %%r11\n"
		     "movq	%%rax, %%r12\n"
		     "movq	%%rax, %%r13\n"
		     "movq	%%rax, %%r14\n"
		     "movq	%%rax, %%r15\n"
		     "movq	%%rax, %%xmm0\n"
		     "movq	%%rax, %%xmm1\n"
		     "movq	%%rax, %%xmm7\n"
		     "movq	%%rax, %%xmm15\n"
		     "ud2"
		     : : "i" (MAGIC)
		     : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
		       "r13", "r14", "r15", "xmm0", "xmm1", "xmm7", "xmm15", "memory");
}

/* The creator learns where it was, and why: nothing of what it held in its hands. */
LWC_TEST(a_fault_says_no_more)
{
	struct lwc_switch_args args = { .size = sizeof(args) };
	struct lwc_event ev = { 0 };
	const unsigned long *word;
	unsigned int i;
	int ctx;

	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE | LWC_TRAP_FAULTS) {
		crash_with_magic();
	}
	ASSERT_LE(0, ctx);
	args.event = (uintptr_t)&ev;
	EXPECT_EQ(0, switch_and_look(&args, ctx));
	EXPECT_EQ(LWC_EV_FAULT, ev.reason);
	EXPECT_EQ(SIGILL, ev.nr);
	EXPECT_EQ(ctx, (int)returned[5]);
	for (i = 0; i < ARRAY_SIZE(returned); i++)
		EXPECT_NE(MAGIC, returned[i]);
	word = (const unsigned long *)&ev;
	for (i = 0; i < sizeof(ev) / sizeof(*word); i++)
		EXPECT_NE(MAGIC, word[i]);
	EXPECT_EQ(0, ev.arg);
	EXPECT_EQ(0, ev.fault.reserved);
	EXPECT_EQ(0, ev.syscall.args[3]);
	EXPECT_EQ(0, ev.syscall.args[4]);
	EXPECT_EQ(0, ev.syscall.args[5]);
	EXPECT_EQ(0, ev.syscall.ip);
	EXPECT_EQ(0, n_blocked());
}

/* Renewed, put back, kept anew: it stays what it was made as. */
LWC_TEST(stays_private)
{
	struct lwc_event ev = { 0 };
	int ctx, i;

	EXPECT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE | LWC_KEEP) {
		in.reply = !is_dumpable() && n_blocked() == 60;
		prctl(PR_SET_DUMPABLE, 1);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, 0, &ev));
		EXPECT_EQ(1, ev.arg);
		EXPECT_EQ(1, CALL(ctx, 0));
		EXPECT_EQ(0, lwc_keep(ctx));
		EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, 0, &ev));
		EXPECT_EQ(1, ev.arg);
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		while (ev.reason == LWC_EV_SWITCH) {
			uint64_t fine = !is_dumpable() && n_blocked() == 60;

			prctl(PR_SET_DUMPABLE, 1);
			ASSERT_EQ(0, lwc_switch(ev.caller, 0, fine, &ev));
		}
		EXPECT_EQ(1, CALL(ctx, 0));
		EXPECT_EQ(1, CALL(ctx, 0));
	}
	EXPECT_TRUE(is_dumpable());
}

/* A child, and a context made inside, have copies of what is hidden. */
LWC_TEST(copies_are_hidden)
{
	int ctx, inner, status;

	EXPECT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	CONTEXT_WITH(ctx, NULL, 0, LWC_PRIVATE) {
		int outer = in.ev.caller;

		IN_CHILD(status) {
			EXPECT_FALSE(is_dumpable());
		}
		EXPECT_EQ(0, status);
		CONTEXT(inner) {
			in.reply = is_dumpable() ? 1 : 2;
		}
		EXPECT_LE(0, inner);
		EXPECT_EQ(2, CALL(inner, 0));
		EXPECT_EQ(0, lwc_close(inner));
		EXPECT_EQ(outer, in.ev.caller);
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_TRUE(is_dumpable());
}

/* In registers alone: memory that is dumped must not have it. */
static void *spin_with_magic(void *arg)
{
	const bool private = arg;
	struct lwc_event ev;

	if (lwc_create(NULL, 0, private ? LWC_PRIVATE : 0, &ev))
		return NULL;
	if (ev.reason == LWC_EV_CREATED)
		lwc_switch(ev.created, 0, 0, &ev);
	asm volatile("movabs	%0, %%r15\n"
		     "movq	%%r15, %%xmm5\n"
		     "movl	$1, %1\n"
		     "1:	pause\n"
		     "jmp	1b" : : "i" (MAGIC), "m" (*(int *)&shm[60]) : "r15", "xmm5", "memory");
	return NULL;
}

/* Another thread crashes while this one is inside. */
static void crash_beside(bool private)
{
	pthread_t t;

	shm[60] = 0;
	pthread_create(&t, NULL, spin_with_magic, (void *)private);
	while (!shm[60])
		usleep(100);
	usleep(10000);
	abort();
}

static void crash_inside(struct __test_metadata *_metadata, unsigned int flags)
{
	int ctx;

	CONTEXT_WITH(ctx, NULL, 0, flags) {
		asm volatile("ud2");
	}
	CALL(ctx, 0);
}

/* How often the core dump in this directory, which is removed, has the value in it. */
static int find_magic(void)
{
	const unsigned long magic = MAGIC;
	DIR *dir = opendir(".");
	struct dirent *e;
	int found = -1;

	while (dir && (e = readdir(dir))) {
		int fd = strncmp(e->d_name, "core", 4) ? -1 : open(e->d_name, O_RDONLY);
		off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
		char *all, *p;

		if (fd < 0)
			continue;
		unlink(e->d_name);
		all = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
		if (all == MAP_FAILED)
			continue;
		found = 0;
		for (p = all; (p = memmem(p, all + size - p, &magic, sizeof(magic))); p++)
			found++;
		munmap(all, size);
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool cores_come_here(void)
{
	char pattern[8] = "";
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, pattern, sizeof(pattern) - 1);

	close(fd);
	return n > 0 && !strcmp(pattern, "core\n");
}

LWC_TEST(core_dumps)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char path[] = "/dev/shm/lwc-core.XXXXXX";
	int status, how;

	if (!cores_come_here())
		SKIP(return, "core dumps go elsewhere here");
	AS_ORDINARY(status) {
		EXPECT_NE(NULL, mkdtemp(path));
		EXPECT_EQ(0, chdir(path));
		EXPECT_EQ(0, setrlimit(RLIMIT_CORE, &all));
		IN_CHILD(how) {
			abort();
		}
		if (!WCOREDUMP(how)) {
			shm[50] = 1;
			rmdir(path);
			_exit(0);
		}
		EXPECT_EQ(0, find_magic());
		/* Of who crashes, outside and inside. */
		IN_CHILD(how) {
			crash_inside(_metadata, 0);
		}
		EXPECT_TRUE(WIFSIGNALED(how) && WCOREDUMP(how));
		EXPECT_EQ(0, find_magic());
		IN_CHILD(how) {
			crash_inside(_metadata, LWC_PRIVATE);
		}
		EXPECT_TRUE(WIFSIGNALED(how) && !WCOREDUMP(how));
		EXPECT_EQ(-1, find_magic());
		/* Of another thread: that it is dumped is no harm. */
		IN_CHILD(how) {
			crash_beside(false);
		}
		EXPECT_TRUE(WIFSIGNALED(how) && WCOREDUMP(how));
		EXPECT_LE(2, find_magic());
		IN_CHILD(how) {
			crash_beside(true);
		}
		EXPECT_TRUE(WIFSIGNALED(how) && WCOREDUMP(how));
		EXPECT_EQ(0, find_magic());
		EXPECT_EQ(0, rmdir(path));
	}
	EXPECT_EQ(0, status);
	if (shm[50])
		SKIP(return, "this kernel makes no core dumps");
}

TEST_HARNESS_MAIN
