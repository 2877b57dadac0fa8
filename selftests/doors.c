// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's other doors between contexts of one process: what lets one thread
 * reach another's memory, descriptors and directories by its number must work as
 * ever between threads of one context, and never between contexts. Each door is
 * tried open (the same attack, the victim in the attacker's context) and shut, and
 * then raced: a victim that comes and goes, an attacker that never stops.
 */
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <sys/uio.h>

#include "test.h"

/* The victim's secret is at this address in its context; another value is here. */
static volatile char secret[64] = "public";

#define SECRET_FD	555

struct door {
	const char *name;
	/* Tries it on a thread (the leader: pid == tid): > 0 if it got through. */
	int (*attack)(pid_t tid);
	/* A file in /proc/PID/task/TID, where reading it is all there is to do. */
	const char *file;
};

static int path_of(char *path, size_t size, pid_t tid, const char *what)
{
	return snprintf(path, size, "/proc/self/task/%d/%s", tid, what);
}

static int by_process_vm_readv(pid_t tid)
{
	char got[64] = "";
	struct iovec local = { .iov_base = got, .iov_len = sizeof(got) };
	struct iovec remote = { .iov_base = (void *)secret, .iov_len = sizeof(got) };

	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) != sizeof(got))
		return 0;
	return !strcmp(got, "hidden") ? 2 : 1;
}

static int by_process_vm_writev(pid_t tid)
{
	char x[2] = "X";
	struct iovec local = { .iov_base = x, .iov_len = 1 };
	struct iovec remote = { .iov_base = (char *)secret + 32, .iov_len = 1 };

	return process_vm_writev(tid, &local, 1, &remote, 1, 0) == 1;
}

static int by_mem(pid_t tid)
{
	char path[64], got[64] = "";
	int fd, r = 0;

	path_of(path, sizeof(path), tid, "mem");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (pread(fd, got, sizeof(got), (uintptr_t)secret) == sizeof(got))
		r = !strcmp(got, "hidden") ? 2 : 1;
	close(fd);
	return r;
}

/* The same by the process's name instead of the thread's. */
static int by_process_mem(pid_t tid)
{
	char path[64], got[64] = "";
	int fd, r = 0;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (pread(fd, got, sizeof(got), (uintptr_t)secret) == sizeof(got))
		r = !strcmp(got, "hidden") ? 2 : 1;
	close(fd);
	return r;
}

static int read_any(pid_t tid, const char *what)
{
	char path[64], got[64];
	int fd, r;

	path_of(path, sizeof(path), tid, what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	r = read(fd, got, sizeof(got)) > 0;
	close(fd);
	return r;
}

static int by_fd(pid_t tid)
{
	char path[64], got[16] = "";
	int fd;

	path_of(path, sizeof(path), tid, "fd/555");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got[0] = 0;
	if (pread(fd, got, 6, 0) != 6)
		got[0] = 0;
	close(fd);
	return strcmp(got, "hidden") ? 1 : 2;
}

static int by_fd_link(pid_t tid)
{
	char path[64], target[256];

	path_of(path, sizeof(path), tid, "fd/555");
	return readlink(path, target, sizeof(target)) > 0;
}

static int by_fd_list(pid_t tid)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int r = 0;

	path_of(path, sizeof(path), tid, "fd");
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((e = readdir(dir)))
		r |= !strcmp(e->d_name, "555");
	closedir(dir);
	return r;
}

static int by_cwd(pid_t tid)
{
	char path[64], target[256] = "";

	path_of(path, sizeof(path), tid, "cwd");
	if (readlink(path, target, sizeof(target) - 1) <= 0)
		return 0;
	return 1;
}

static int by_root(pid_t tid)
{
	char path[64];
	int fd;

	path_of(path, sizeof(path), tid, "root");
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	close(fd);
	return 1;
}

static int by_map_files(pid_t tid)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/map_files", tid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((e = readdir(dir)))
		r |= e->d_name[0] != '.';
	closedir(dir);
	return r;
}

static int by_pidfd_getfd(pid_t tid)
{
	int pidfd = syscall(SYS_pidfd_open, tid, 0), fd;
	char got[16] = "";

	if (pidfd < 0)
		return 0;
	fd = syscall(SYS_pidfd_getfd, pidfd, SECRET_FD, 0);
	close(pidfd);
	if (fd < 0)
		return 0;
	if (pread(fd, got, 6, 0) != 6)
		got[0] = 0;
	close(fd);
	return strcmp(got, "hidden") ? 1 : 2;
}

static int by_kcmp_vm(pid_t tid)
{
	return syscall(SYS_kcmp, tid, thread_id(), KCMP_VM, 0, 0) >= 0;
}

static int by_kcmp_file(pid_t tid)
{
	return syscall(SYS_kcmp, tid, thread_id(), KCMP_FILE, SECRET_FD, 2) >= 0;
}

static int by_process_madvise(pid_t tid)
{
	struct iovec remote = {
		.iov_base = (void *)((uintptr_t)secret & ~(PAGE - 1)), .iov_len = PAGE,
	};
	int pidfd = syscall(SYS_pidfd_open, tid, 0);
	long r;

	if (pidfd < 0)
		return 0;
	r = syscall(SYS_process_madvise, pidfd, &remote, 1, MADV_COLD, 0);
	close(pidfd);
	return r == PAGE;
}

static int by_move_pages(pid_t tid)
{
	void *page = (void *)((uintptr_t)secret & ~(PAGE - 1));
	int status = -1;

	return !syscall(SYS_move_pages, tid, 1, &page, NULL, &status, 0);
}

/* Is there such a door in this kernel? */
static bool is_built(const struct door *door)
{
	return door->attack != by_move_pages ||
	       syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0) == 0 || errno != ENOSYS;
}

static int by_robust_list(pid_t tid)
{
	void *head = NULL;
	size_t len;

	return !syscall(SYS_get_robust_list, tid, &head, &len);
}

static const struct door doors[] = {
	{ "process_vm_readv", by_process_vm_readv, NULL },
	{ "process_vm_writev", by_process_vm_writev, NULL },
	{ "mem", by_mem, NULL },
	{ "the process's mem", by_process_mem, NULL },
	{ "maps", NULL, "maps" },
	{ "smaps", NULL, "smaps" },
	{ "pagemap", NULL, "pagemap" },
	{ "smaps_rollup", NULL, "smaps_rollup" },
	{ "syscall", NULL, "syscall" },
	{ "personality", NULL, "personality" },
	{ "environ", NULL, "environ" },
	{ "auxv", NULL, "auxv" },
	{ "fd", by_fd, NULL },
	{ "fd link", by_fd_link, NULL },
	{ "fd list", by_fd_list, NULL },
	{ "fdinfo", NULL, "fdinfo/555" },
	{ "cwd", by_cwd, NULL },
	{ "root", by_root, NULL },
	{ "map_files", by_map_files, NULL },
	{ "pidfd_getfd", by_pidfd_getfd, NULL },
	{ "kcmp vm", by_kcmp_vm, NULL },
	{ "kcmp file", by_kcmp_file, NULL },
	{ "process_madvise", by_process_madvise, NULL },
	{ "move_pages", by_move_pages, NULL },
	{ "get_robust_list", by_robust_list, NULL },
};

static int try_door(const struct door *door, pid_t tid)
{
	return door->attack ? door->attack(tid) : read_any(tid, door->file);
}

/* shm[0]: what the attacker is to do; shm[1]: its answer; shm[2]: whom. */
enum { IDLE, GO, STOP };

static void *attacker(void *arg)
{
	(void)arg;
	while (shm[0] != STOP) {
		if (shm[0] == GO) {
			shm[1] = try_door(&doors[shm[3]], shm[2]);
			shm[0] = IDLE;
		}
		usleep(100);
	}
	return NULL;
}

static int attack(int door, pid_t victim)
{
	shm[2] = victim;
	shm[3] = door;
	shm[0] = GO;
	while (shm[0] == GO)
		usleep(100);
	return shm[1];
}

/* In the victim's context: a secret, a file with it, and nobody to share it with. */
static void hide(struct __test_metadata *_metadata)
{
	int fd = memfd_create("secret", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(6, write(fd, "hidden", 6));
	ASSERT_EQ(SECRET_FD, dup2(fd, SECRET_FD));
	close(fd);
	memset((char *)secret, 0, sizeof(secret));
	strcpy((char *)secret, "hidden");
}

static void open_public(struct __test_metadata *_metadata)
{
	int fd = memfd_create("public", MFD_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_EQ(6, write(fd, "public", 6));
	ASSERT_EQ(SECRET_FD, dup2(fd, SECRET_FD));
	close(fd);
}

/*
 * The leader is the victim, since the descriptors of processes name leaders. The
 * attacker is a thread that stays in the root context.
 */
LWC_TEST(leader_in_a_context)
{
	unsigned int i;
	pthread_t t;
	int ctx;

	open_public(_metadata);
	ASSERT_EQ(0, pthread_create(&t, NULL, attacker, NULL));
	CONTEXT(ctx) {
		hide(_metadata);
		for (i = 0; i < ARRAY_SIZE(doors); i++) {
			EXPECT_EQ(0, attack(i, getpid())) {
				TH_LOG("door: %s", doors[i].name);
			}
		}
		EXPECT_STREQ("hidden", (char *)secret);
		EXPECT_EQ(0, secret[32]);
	}
	ASSERT_LE(0, ctx);
	/* The same, where both are: as ever. Two of them need a right besides. */
	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		int r = attack(i, getpid());

		if (!is_root() && (doors[i].attack == by_map_files ||
				   doors[i].attack == by_process_madvise))
			continue;
		if (!is_built(&doors[i]))
			continue;
		EXPECT_EQ(1, r) {
			TH_LOG("door: %s", doors[i].name);
		}
	}
	secret[32] = 0;
	CALL(ctx, 0);
	EXPECT_EQ(0, secret[32]);
	/* And open again, when the victim is back. */
	EXPECT_EQ(1, attack(0, getpid()));
	shm[0] = STOP;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

static void *victim_thread(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	shm[5] = thread_id();
	CONTEXT(ctx) {
		hide(_metadata);
		shm[4] = 1;
		while (shm[4] == 1)
			usleep(100);
	}
	if (ctx < 0)
		shm[4] = -1;
	while (shm[4] == 0)
		usleep(100);
	CALL(ctx, 0);
	shm[4] = 3;
	while (shm[4] == 3)
		usleep(100);
	return NULL;
}

/* The other way about: the leader attacks a thread, by the ways that reach threads. */
LWC_TEST(thread_in_a_context)
{
	unsigned int i;
	pthread_t t;

	open_public(_metadata);
	shm[4] = 10;
	ASSERT_EQ(0, pthread_create(&t, NULL, victim_thread, _metadata));
	while (shm[4] != 1)
		usleep(100);
	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		/* Those that name a process mean this very thread. */
		if (doors[i].attack == by_pidfd_getfd || doors[i].attack == by_process_madvise ||
		    doors[i].attack == by_map_files || doors[i].attack == by_process_mem)
			continue;
		EXPECT_EQ(0, try_door(&doors[i], shm[5])) {
			TH_LOG("door: %s", doors[i].name);
		}
	}
	shm[4] = 2;
	while (shm[4] != 3)
		usleep(100);
	EXPECT_EQ(1, by_process_vm_readv(shm[5]));
	EXPECT_EQ(1, by_mem(shm[5]));
	EXPECT_EQ(1, by_fd(shm[5]));
	shm[4] = 4;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

/* From inside, the root context is as far away. */
LWC_TEST(from_inside)
{
	unsigned int i;
	pthread_t t;
	int ctx;

	CONTEXT(ctx) {
		if (!in.ev.arg) {
			open_public(_metadata);
			ASSERT_EQ(0, pthread_create(&t, NULL, attacker, NULL));
		} else {
			EXPECT_EQ(1, attack(0, getpid()));
			EXPECT_EQ(1, attack(2, getpid()));
			shm[0] = STOP;
			ASSERT_EQ(0, pthread_join(t, NULL));
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	hide(_metadata);
	for (i = 0; i < ARRAY_SIZE(doors); i++) {
		EXPECT_EQ(0, attack(i, getpid())) {
			TH_LOG("door: %s", doors[i].name);
		}
	}
	EXPECT_STREQ("hidden", (char *)secret);
	CALL(ctx, 1);
}

/* What is one's own stays open. */
LWC_TEST(to_oneself)
{
	int ctx;

	open_public(_metadata);
	CONTEXT(ctx) {
		hide(_metadata);
		EXPECT_EQ(2, by_process_vm_readv(getpid()));
		EXPECT_EQ(2, by_mem(thread_id()));
		EXPECT_EQ(2, by_fd(thread_id()));
		EXPECT_EQ(2, by_pidfd_getfd(getpid()));
		EXPECT_EQ(1, read_any(thread_id(), "maps"));
		EXPECT_EQ(1, by_cwd(thread_id()));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* A debugger is another process, and may look wherever it might before. */
LWC_TEST(from_another_process)
{
	int ctx, status, fds[2];
	pid_t pid = getpid();
	char c;

	ASSERT_EQ(0, pipe(fds));
	if (!is_root())
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	CONTEXT(ctx) {
		hide(_metadata);
		IN_CHILD(status) {
			char path[64], got[64] = "";
			int fd;

			snprintf(path, sizeof(path), "/proc/%d/mem", pid);
			fd = open(path, O_RDONLY);
			EXPECT_LE(0, fd);
			EXPECT_EQ(64, pread(fd, got, 64, (uintptr_t)secret));
			EXPECT_STREQ("hidden", got);
		}
		EXPECT_EQ(0, status);
		c = 1;
		in.reply = c;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* What was opened before says what it said then: the memory that it was opened on. */
LWC_TEST(opened_before)
{
	char got[64] = "", path[64];
	pthread_t t;
	int fd;

	open_public(_metadata);
	shm[4] = 0;
	ASSERT_EQ(0, pthread_create(&t, NULL, victim_thread, _metadata));
	while (!shm[5])
		usleep(100);
	path_of(path, sizeof(path), shm[5], "mem");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	shm[4] = 20;
	while (shm[4] != 1)
		usleep(100);
	EXPECT_EQ(64, pread(fd, got, 64, (uintptr_t)secret));
	EXPECT_STREQ("public", got);
	shm[4] = 2;
	while (shm[4] != 3)
		usleep(100);
	shm[4] = 4;
	ASSERT_EQ(0, pthread_join(t, NULL));
}

#define RING_PAGES	8
#define MAGIC		0x5ec2e75ec2e75ec2ul

static int open_sampler(pid_t tid, unsigned long what)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 100000,
		.sample_type = PERF_SAMPLE_IP | what,
		/* The last of them is r15. */
		.sample_regs_user = what & PERF_SAMPLE_REGS_USER ? 0xff00ff : 0,
		.exclude_kernel = 1, .exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void spin_with_magic(void)
{
	double end = seconds() + 0.2;

	while (seconds() < end)
		asm volatile("movabs	%0, %%r15\n"
			     "movl	$1000000, %%ecx\n"
			     "1:	loop	1b" : : "i" (MAGIC) : "r15", "rcx");
}

/* A thread's registers, as whoever holds the event reads them from shared memory. */
LWC_TEST(sampled_by_a_sibling)
{
	const unsigned long magic = MAGIC;
	struct lwc_event ev;
	void *ring;
	int ctx, fd;

	CONTEXT(ctx) {
		spin_with_magic();
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	fd = open_sampler(0, PERF_SAMPLE_REGS_USER);
	if (fd < 0)
		SKIP(return, "kernel.perf_event_paranoid lets no user sample");
	ring = mmap(NULL, (1 + RING_PAGES) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, ring);
	spin_with_magic();
	EXPECT_NE(NULL, memmem((char *)ring + PAGE, RING_PAGES * PAGE, &magic, sizeof(magic)));
	EXPECT_ERR(lwc_switch, EOPNOTSUPP, lwc_switch(ctx, 0, 0, &ev));
	close(fd);
	/* The ring keeps it. */
	EXPECT_ERR(lwc_switch, EOPNOTSUPP, lwc_switch(ctx, 0, 0, &ev));
	munmap(ring, (1 + RING_PAGES) * PAGE);
	EXPECT_EQ(1, CALL(ctx, 0));
	/* Where the time goes may be asked. */
	fd = open_sampler(0, PERF_SAMPLE_TID);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, CALL(ctx, 0));
	close(fd);
}

static void *racing_attacker(void *arg)
{
	int (*fn)(pid_t) = doors[(long)arg].attack;

	shm[7] = 1;
	while (shm[6]) {
		int r = fn(shm[2]);

		if (r == 2)
			shm[10]++;
		else if (r == 1)
			shm[11]++;
		else
			shm[12]++;
	}
	return NULL;
}

/* A victim that comes and goes, an attacker that loops: it never once sees the secret. */
static void race(struct __test_metadata *_metadata, int (*fn)(pid_t))
{
	double end;
	long door;
	pthread_t t;
	int ctx;

	for (door = 0; doors[door].attack != fn; door++)
		;
	open_public(_metadata);
	memset((char *)secret, 0, sizeof(secret));
	strcpy((char *)secret, "public");
	CONTEXT(ctx) {
		if (!in.ev.arg)
			hide(_metadata);
		if (secret[32])
			in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	shm[6] = 1;
	shm[2] = thread_id();
	ASSERT_EQ(0, pthread_create(&t, NULL, racing_attacker, (void *)door));
	while (!shm[7])
		sched_yield();
	end = seconds() + 3;
	do {
		EXPECT_EQ(0, CALL(ctx, 1));
		shm[13]++;
		if (!(shm[13] % 64))
			usleep(1);
	} while (seconds() < end);
	shm[6] = 0;
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(0, shm[10]) {
		TH_LOG("%ld times of %ld", shm[10], shm[10] + shm[11] + shm[12]);
	}
	/* It did try, and got through where it may. */
	EXPECT_LT(0, shm[11]);
	EXPECT_LT(10, shm[13]);
}

LWC_TEST(race_process_vm_readv)
{
	race(_metadata, by_process_vm_readv);
}

LWC_TEST(race_process_vm_writev)
{
	race(_metadata, by_process_vm_writev);
}

LWC_TEST(race_mem)
{
	race(_metadata, by_mem);
}

LWC_TEST(race_fd)
{
	race(_metadata, by_fd);
}

LWC_TEST(race_pidfd_getfd)
{
	race(_metadata, by_pidfd_getfd);
}

TEST_HARNESS_MAIN
