/* SPDX-License-Identifier: MIT */
/*
 * Perl's rand(). It seeds itself from the kernel at its first use, and remembers
 * that it did: if that happened in W, every H would go on from the same state. So
 * W forgets it again before each request, and a handler's first rand() seeds
 * anew. This must never be tried on another Perl than its headers are of: the
 * place of that memory is theirs.
 */

#include <ngx_config.h>

#if (NGX_HTTP_LWC_PERL)

#define PERL_NO_GET_CONTEXT

#include <EXTERN.h>
#include <perl.h>

#include <dlfcn.h>

#define NGX_HTTP_LWC_STRING(s)   #s
#define NGX_HTTP_LWC_VALUE(s)    NGX_HTTP_LWC_STRING(s)
#define NGX_HTTP_LWC_LIBPERL                                                  \
    "libperl.so." NGX_HTTP_LWC_VALUE(PERL_REVISION)                           \
    "." NGX_HTTP_LWC_VALUE(PERL_VERSION)


/* libperl is not linked: nginx has loaded it, or there is no Perl */

static perl_key  *ngx_http_lwc_perl_key;

#endif


const char *ngx_http_lwc_perl_init(void);
void ngx_http_lwc_perl_next(void);


const char *
ngx_http_lwc_perl_init(void)
{
#if (NGX_HTTP_LWC_PERL)

    void  *lib;

    lib = dlopen(NGX_HTTP_LWC_LIBPERL, RTLD_LAZY|RTLD_NOLOAD);

    if (lib == NULL) {
        return "this module was built for " NGX_HTTP_LWC_LIBPERL;
    }

    ngx_http_lwc_perl_key = dlsym(lib, "PL_thr_key");

    if (ngx_http_lwc_perl_key == NULL) {
        return "there is no PL_thr_key in " NGX_HTTP_LWC_LIBPERL;
    }

    return NULL;

#else

    return "this module was built without Perl's headers";

#endif
}


void
ngx_http_lwc_perl_next(void)
{
#if (NGX_HTTP_LWC_PERL)

    pTHX;

    if (ngx_http_lwc_perl_key == NULL) {
        return;
    }

    aTHX = pthread_getspecific(*ngx_http_lwc_perl_key);

    /* written only when set: a page that is clean need not be copied */

    if (aTHX && PL_srand_called) {
        PL_srand_called = FALSE;
    }

#endif
}
