// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's files: those of the host, read only, under the packages that only the
 * guest has, under memory that takes what is written; and the settings that any
 * system makes when it starts. It must never mount anything over /tmp, where tests
 * and their makers leave files for each other.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "guest.h"

void load_drivers(void)
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

void mount_root(const struct job *job)
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

void mount_the_rest(void)
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

/*
 * The first perf event on a thread, and the end of the last, have the kernel rewrite an
 * instruction of its scheduler. QEMU before 8.1 may translate an instruction that is being
 * written and keep what it saw, where a second processor comes by at that moment: the
 * kernel then meets a breakpoint that nobody has set, and dies. So one event is there from
 * the start, before anything of ours has run, and stays.
 */
static void keep_scheduler_unwritten(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_DUMMY,
	};

	if (syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC) < 0)
		give_up("perf_event_open");
}

void set_up_system(void)
{
	struct rlimit files = { .rlim_cur = 1024, .rlim_max = 1048576 };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		give_up("lo");
	close(fd);
	sethostname("lwc-guest", 9);
	setrlimit(RLIMIT_NOFILE, &files);
	if (get_nprocs() > 1)
		keep_scheduler_unwritten();
}
