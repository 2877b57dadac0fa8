/* SPDX-License-Identifier: MIT */
/*
 * H is a copy of W, and so would start each request with the same state of every
 * random number generator that lives in memory. Here W sees to it that no two
 * requests begin alike: it never leaves to H a generator that H could run on from
 * a state that another request had.
 */

#include "ngx_http_lwc.h"

#include <sys/random.h>

#if (NGX_HTTP_SSL)
#include <openssl/rand.h>
#endif


#if (NGX_HTTP_SSL)

static int ngx_http_lwc_random_bytes(unsigned char *buf, int n);
static int ngx_http_lwc_random_add(const void *buf, int n, double entropy);
static int ngx_http_lwc_random_seed(const void *buf, int n);
static int ngx_http_lwc_random_status(void);


/* nothing in memory that could repeat itself: all comes from the kernel */

static const RAND_METHOD  ngx_http_lwc_random_method = {
    ngx_http_lwc_random_seed,
    ngx_http_lwc_random_bytes,
    NULL,
    ngx_http_lwc_random_add,
    ngx_http_lwc_random_bytes,
    ngx_http_lwc_random_status
};

#endif


/* what initstate() makes of 128 bytes: 31 numbers, after a word on the kind */

#define NGX_HTTP_LWC_RANDOM_WORDS  32

/* all that W writes before each request, in one page: each is copied to H */

static struct {
    uint32_t  key[2];
    uint32_t  n;
    uint32_t  state[NGX_HTTP_LWC_RANDOM_WORDS];  /* the C library's */
    char     *before;                            /* and what that had */
} ngx_http_lwc_random __attribute__((aligned(256)));


static uint64_t ngx_http_lwc_random_mix(uint64_t x);


ngx_int_t
ngx_http_lwc_random_init(ngx_cycle_t *cycle)
{
    size_t       size;
    char        *before;
    ngx_uint_t   i;
    const char  *why;

    size = offsetof(__typeof__(ngx_http_lwc_random), state);

    if (getrandom(&ngx_http_lwc_random, size, 0) != (ssize_t) size) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "lwc_rollback: getrandom() failed");
        return NGX_ERROR;
    }

    before = initstate(ngx_http_lwc_random.n,
                       (char *) ngx_http_lwc_random.state,
                       sizeof(ngx_http_lwc_random.state));

    if (before == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "lwc_rollback: initstate() failed");
        return NGX_ERROR;
    }

    ngx_http_lwc_random.before = before;

#if (NGX_HTTP_SSL)

    /*
     * OpenSSL's own generator notices a fork, but not a context. It is
     * replaced in W too: that costs no request anything.
     */

    if (RAND_set_rand_method(&ngx_http_lwc_random_method) != 1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "lwc_rollback: RAND_set_rand_method() failed");
        return NGX_ERROR;
    }

#endif

    for (i = 0; cycle->modules[i]; i++) {

        if (ngx_strcmp(cycle->modules[i]->name, "ngx_http_perl_module") != 0) {
            continue;
        }

        why = ngx_http_lwc_perl_init();

        if (why) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "lwc_rollback: Perl's rand() would repeat itself: %s",
                          why);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the module may be unloaded before others are done with random numbers */

void
ngx_http_lwc_random_exit(void)
{
    if (ngx_http_lwc_random.before) {
        (void) setstate(ngx_http_lwc_random.before);
    }

#if (NGX_HTTP_SSL)
    (void) RAND_set_rand_method(NULL);
#endif
}


/*
 * For random(), rand() and drand48() of the C library and ngx_random(). The
 * seeds are a permutation of a counter, under a secret key: none comes twice in
 * four thousand million requests, as ones drawn by chance soon would.
 *
 * srandom() would do it as well, but draws 310 numbers to mix its own. Here the
 * numbers of its state are filled in from 64 bits that no other seed has. They
 * may not all be even.
 */

void
ngx_http_lwc_random_next(void)
{
    uint32_t    seed;
    uint64_t    x;
    ngx_uint_t  i;

    seed = ngx_http_lwc_random.n++ ^ ngx_http_lwc_random.key[0];
    seed ^= seed >> 16;
    seed *= 0x7feb352d;
    seed ^= seed >> 15;
    seed *= ngx_http_lwc_random.key[1] | 1;
    seed ^= seed >> 16;

    x = ngx_http_lwc_random_mix((uint64_t) ngx_http_lwc_random.key[0] << 32
                                | seed);

    for (i = 1; i < NGX_HTTP_LWC_RANDOM_WORDS; i++) {
        x += 0x9e3779b97f4a7c15;
        ngx_http_lwc_random.state[i] = ngx_http_lwc_random_mix(x) >> 32;
    }

    ngx_http_lwc_random.state[1] |= 1;

    srand48((long) seed);

    ngx_http_lwc_perl_next();
}


/* splitmix64: another number for each */

static uint64_t
ngx_http_lwc_random_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;

    return x ^ (x >> 31);
}


#if (NGX_HTTP_SSL)

static int
ngx_http_lwc_random_bytes(unsigned char *buf, int n)
{
    ssize_t  got;

    while (n > 0) {
        got = getrandom(buf, n, 0);

        if (got == -1) {
            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            return 0;
        }

        buf += got;
        n -= got;
    }

    return 1;
}


static int
ngx_http_lwc_random_add(const void *buf, int n, double entropy)
{
    return 1;
}


static int
ngx_http_lwc_random_seed(const void *buf, int n)
{
    return 1;
}


static int
ngx_http_lwc_random_status(void)
{
    return 1;
}

#endif
