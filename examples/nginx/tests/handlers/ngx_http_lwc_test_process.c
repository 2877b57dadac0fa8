/* SPDX-License-Identifier: MIT */
/*
 * Handlers that change what belongs to the process, or what a careless one
 * would leave to the next request: signals, timers, children, locks, descriptors,
 * the working directory. They must never need more than a plain user may do.
 */

#include "ngx_http_lwc_test.h"

#include <dirent.h>
#include <linux/io_uring.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/time.h>
#include <time.h>


static ngx_int_t
ngx_http_lwc_test_signal(ngx_http_request_t *r)
{
    int  signo;

    signo = ngx_http_lwc_test_arg(r, "signo", SIGTERM);

    (void) signal(signo, SIG_IGN);

    return ngx_http_lwc_test_say(r, "signal %d ignored\n", signo);
}


/* SIGPROF would kill the worker a little later */

static ngx_int_t
ngx_http_lwc_test_itimer(ngx_http_request_t *r)
{
    struct itimerval  it;

    ngx_memzero(&it, sizeof(struct itimerval));
    it.it_value.tv_usec = 300000;

    (void) setitimer(ngx_http_lwc_test_arg(r, "which", ITIMER_PROF), &it, NULL);

    return ngx_http_lwc_test_say(r, "interval timer\n");
}


/* goes off when nobody is looking, and is still waiting when the handler ends */

static ngx_int_t
ngx_http_lwc_test_pending(ngx_http_request_t *r)
{
    sigset_t          set;
    ngx_uint_t        n;
    struct itimerval  it;

    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    ngx_memzero(&it, sizeof(struct itimerval));
    it.it_value.tv_usec = 1000;
    (void) setitimer(ITIMER_PROF, &it, NULL);

    n = 0;

    do {
        n++;
        (void) sigpending(&set);
    } while (!sigismember(&set, SIGPROF));

    return ngx_http_lwc_test_say(r, "pending %d\n", n > 0);
}


/* not one of those that getitimer() tells of */

static ngx_int_t
ngx_http_lwc_test_posix_timer(ngx_http_request_t *r)
{
    int                rc;
    timer_t            timer;
    struct sigevent    sev;
    struct itimerspec  it;

    ngx_memzero(&sev, sizeof(struct sigevent));
    sev.sigev_notify = SIGEV_SIGNAL;
    sev.sigev_signo = SIGRTMIN + 1;

    rc = timer_create(CLOCK_MONOTONIC, &sev, &timer);

    ngx_memzero(&it, sizeof(struct itimerspec));
    it.it_value.tv_nsec = 300000000;

    if (rc == 0) {
        rc = timer_settime(timer, 0, &it, NULL);
    }

    if (rc == 0 && ngx_http_lwc_test_arg(r, "delete", 0)) {
        rc = timer_delete(timer);
    }

    return ngx_http_lwc_test_say(r, "timer %d\n", rc);
}


/* what a command begins with, by each way to run one */

static ngx_int_t
ngx_http_lwc_test_masks(ngx_http_request_t *r)
{
    int        fd[2];
    char       text[256];
    FILE      *f;
    size_t     n;
    ngx_pid_t  pid;

    static char  *argv[] = { "grep", "SigBlk", "/proc/self/status", NULL };

    if (pipe(fd) == -1 || dup2(fd[1], STDOUT_FILENO) == -1) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pid = fork();

    if (pid == 0) {
        (void) execvp(argv[0], argv);
        _exit(1);
    }

    (void) waitpid(pid, NULL, 0);

    if (system("grep SigBlk /proc/self/status") != 0
        || posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) waitpid(pid, NULL, 0);

    (void) close(fd[1]);
    (void) close(STDOUT_FILENO);

    f = fdopen(fd[0], "r");
    if (f == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    n = fread(text, 1, sizeof(text), f);
    (void) fclose(f);

    return ngx_http_lwc_test_say(r, "%*s", n, text);
}


static volatile sig_atomic_t  ngx_http_lwc_test_alarms;


static void
ngx_http_lwc_test_alarm_handler(int signo)
{
    ngx_http_lwc_test_alarms++;
}


/* a handler that times itself with SIGALRM, and cleans up behind itself */

static ngx_int_t
ngx_http_lwc_test_alarm(ngx_http_request_t *r)
{
    struct sigaction  sa, old;
    struct itimerval  it;

    ngx_http_lwc_test_alarms = 0;

    ngx_memzero(&sa, sizeof(struct sigaction));
    sa.sa_handler = ngx_http_lwc_test_alarm_handler;
    (void) sigaction(SIGALRM, &sa, &old);

    ngx_memzero(&it, sizeof(struct itimerval));
    it.it_value.tv_usec = 50000;
    (void) setitimer(ITIMER_REAL, &it, NULL);

    (void) usleep(5000000);

    (void) sigaction(SIGALRM, &old, NULL);

    return ngx_http_lwc_test_say(r, "alarms %d\n",
                                 (int) ngx_http_lwc_test_alarms);
}


/* the child goes on in the handler, and tries to answer as well */

static ngx_int_t
ngx_http_lwc_test_child(ngx_http_request_t *r)
{
    ngx_pid_t  pid;

    pid = fork();

    if (pid == -1) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (pid == 0) {
        ngx_msleep(ngx_http_lwc_test_arg(r, "ms", 500));
        return ngx_http_lwc_test_say(r, "this is the child\n");
    }

    return ngx_http_lwc_test_say(r, "child\n");
}


static ngx_int_t
ngx_http_lwc_test_lock(ngx_http_request_t *r)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) ngx_http_lwc_test_zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    if (ngx_http_lwc_test_arg(r, "crash", 0)) {
        raise(SIGSEGV);
    }

    return ngx_http_lwc_test_say(r, "locked\n");
}


static ngx_int_t
ngx_http_lwc_test_sleep(ngx_http_request_t *r)
{
    ngx_msec_t  ms;

    ms = ngx_http_lwc_test_arg(r, "ms", 500);

    ngx_msleep(ms);

    return ngx_http_lwc_test_say(r, "slept %M\n", ms);
}


/* which descriptors there are: the first byte of each, its target */

static ngx_int_t
ngx_http_lwc_test_fds(ngx_http_request_t *r)
{
    DIR            *dir;
    u_char          text[4096], *p;
    char            path[64], target[256];
    ssize_t         n;
    struct dirent  *de;

    p = text;
    dir = opendir("/proc/self/fd");

    if (dir == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    while ((de = readdir(dir)) != NULL) {

        if (de->d_name[0] == '.' || atoi(de->d_name) == dirfd(dir)) {
            continue;
        }

        *ngx_snprintf((u_char *) path, sizeof(path) - 1, "/proc/self/fd/%s",
                      de->d_name)
            = '\0';

        n = readlink(path, target, sizeof(target));

        if (n > 0) {
            p = ngx_slprintf(p, text + sizeof(text), "%s %*s\n", de->d_name,
                             (size_t) n, target);
        }
    }

    (void) closedir(dir);

    return ngx_http_lwc_test_say(r, "%*s", (size_t) (p - text), text);
}


/* a file left open and locked, another directory, another mask */

static ngx_int_t
ngx_http_lwc_test_litter(ngx_http_request_t *r)
{
    int     fd, busy;
    char    cwd[256];
    mode_t  mask;

    mask = umask(0);

    if (getcwd(cwd, sizeof(cwd)) == NULL || chdir("/tmp") == -1) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    fd = open("/dev/null", O_WRONLY);

    if (fd == -1 || dup(fd) == -1) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    busy = flock(open(cwd, O_RDONLY), LOCK_EX|LOCK_NB);

    return ngx_http_lwc_test_say(r, "fd %d umask %d cwd %s lock %d\n", fd,
                                 (int) mask, cwd, busy);
}


static ngx_int_t
ngx_http_lwc_test_closeall(ngx_http_request_t *r)
{
    (void) close_range(3, ~0U, 0);

    return ngx_http_lwc_test_say(r, "closed all\n");
}


/* in W this brings about what no context can be renewed with */

static ngx_int_t
ngx_http_lwc_test_uring(ngx_http_request_t *r)
{
    static int  fd = -1;

    struct io_uring_params  params;

    if (ngx_http_lwc_test_arg(r, "off", 0)) {
        return ngx_http_lwc_test_say(r, "io_uring closed %d\n", close(fd));
    }

    ngx_memzero(&params, sizeof(params));
    fd = syscall(SYS_io_uring_setup, 4, &params);

    return ngx_http_lwc_test_say(r, "io_uring %d\n", fd);
}


ngx_http_lwc_test_t  ngx_http_lwc_test_processes[] = {
    { ngx_string("signal"), ngx_http_lwc_test_signal },
    { ngx_string("itimer"), ngx_http_lwc_test_itimer },
    { ngx_string("pending"), ngx_http_lwc_test_pending },
    { ngx_string("posix_timer"), ngx_http_lwc_test_posix_timer },
    { ngx_string("masks"), ngx_http_lwc_test_masks },
    { ngx_string("alarm"), ngx_http_lwc_test_alarm },
    { ngx_string("child"), ngx_http_lwc_test_child },
    { ngx_string("lock"), ngx_http_lwc_test_lock },
    { ngx_string("sleep"), ngx_http_lwc_test_sleep },
    { ngx_string("fds"), ngx_http_lwc_test_fds },
    { ngx_string("litter"), ngx_http_lwc_test_litter },
    { ngx_string("closeall"), ngx_http_lwc_test_closeall },
    { ngx_string("uring"), ngx_http_lwc_test_uring },
    { ngx_null_string, NULL }
};
