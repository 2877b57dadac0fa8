/* SPDX-License-Identifier: MIT */
/*
 * What the files of the test handlers share. The handlers know nothing of
 * lwc_rollback (but for the hostile ones): they must never behave differently
 * with it and without it, or they would test nothing.
 */

#ifndef _NGX_HTTP_LWC_TEST_H_INCLUDED_
#define _NGX_HTTP_LWC_TEST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>


typedef struct {
    ngx_str_t             name;
    ngx_http_handler_pt   handler;
} ngx_http_lwc_test_t;


/* in a shared zone, as a counter of any module */

typedef struct {
    ngx_atomic_t          hits;
    ngx_atomic_t          cleanups;
} ngx_http_lwc_test_shared_t;


extern ngx_module_t  ngx_http_lwc_test_module;

extern ngx_http_lwc_test_t  ngx_http_lwc_test_answers[];
extern ngx_http_lwc_test_t  ngx_http_lwc_test_leaves[];
extern ngx_http_lwc_test_t  ngx_http_lwc_test_processes[];
extern ngx_http_lwc_test_t  ngx_http_lwc_test_crashes[];
extern ngx_http_lwc_test_t  ngx_http_lwc_test_hostiles[];

extern ngx_shm_zone_t  *ngx_http_lwc_test_zone;


/* a number from the request's arguments, or what it is without */

ngx_int_t ngx_http_lwc_test_arg(ngx_http_request_t *r, const char *name,
    ngx_int_t value);

/* the same for text; empty when there is none */

ngx_str_t ngx_http_lwc_test_arg_text(ngx_http_request_t *r, const char *name);

/* a whole response: status 200, this text */

ngx_int_t ngx_http_lwc_test_say(ngx_http_request_t *r, const char *fmt, ...);

ngx_http_lwc_test_shared_t *ngx_http_lwc_test_shared(void);

ngx_int_t ngx_http_lwc_test_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_LWC_TEST_H_INCLUDED_ */
