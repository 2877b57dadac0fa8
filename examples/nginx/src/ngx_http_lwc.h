/* SPDX-License-Identifier: MIT */
/*
 * What the files of ngx_http_lwc_module share. W is the worker, H the request
 * context beside it: a copy of W, made anew for each request, in which the
 * content handler runs. Each function belongs to one of the two, and says so;
 * one that runs in H must never be called in W, or the other way round.
 */

#ifndef _NGX_HTTP_LWC_H_INCLUDED_
#define _NGX_HTTP_LWC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <signal.h>

#include "ngx_http_lwc_arena.h"


typedef struct ngx_http_lwc_loc_conf_s  ngx_http_lwc_loc_conf_t;


typedef struct {
    size_t                      arena;
    ngx_array_t                 protected;    /* where rollback is on */
} ngx_http_lwc_main_conf_t;


struct ngx_http_lwc_loc_conf_s {
    ngx_flag_t                  rollback;
    ngx_msec_t                  timeout;  /* 0: none */
    ngx_str_t                   pass;     /* the directive of an upstream */
    ngx_http_core_loc_conf_t   *clcf;     /* of the same location */
    ngx_http_handler_pt         handler;  /* its own, now wrapped */
    ngx_http_lwc_loc_conf_t    *outer;    /* of "if" and "limit_except" */
};


/* the records of one request, in W's own memory, found to be sound */

typedef struct {
    ngx_http_lwc_result_t       result;
    u_char                     *first;
    u_char                     *last;

    ngx_http_lwc_head_t         head;
    ngx_str_t                   uri;
    ngx_str_t                   args;
    ngx_str_t                   name;
    ngx_file_t                 *files;    /* one for each FILE record */
} ngx_http_lwc_reply_t;


extern ngx_module_t  ngx_http_lwc_module;


/* W: the request context, ngx_http_lwc_context.c */

ngx_int_t ngx_http_lwc_available(ngx_log_t *log);
ngx_int_t ngx_http_lwc_init(ngx_cycle_t *cycle, size_t arena);
ngx_int_t ngx_http_lwc_call(ngx_http_request_t *r, ngx_http_handler_pt handler,
    ngx_http_lwc_reply_t *reply);

/* which descriptors H has, and a way to hand one over, ngx_http_lwc_files.c */

#define NGX_HTTP_LWC_W  0
#define NGX_HTTP_LWC_H  1

ngx_int_t ngx_http_lwc_files_init(ngx_cycle_t *cycle);                  /* W */
void ngx_http_lwc_files_scan(ngx_cycle_t *cycle);                       /* W */
ngx_uint_t ngx_http_lwc_files_changed(ngx_cycle_t *cycle);              /* W */
ngx_array_t *ngx_http_lwc_files_specs(ngx_pool_t *pool);                /* W */
void ngx_http_lwc_files_drain(ngx_uint_t side);                         /* W */
void ngx_http_lwc_files_distrust(void);                                 /* W */
void ngx_http_lwc_files_close(int keep);                                /* H */
void ngx_http_lwc_files_forked(void);            /* in a child of H */
ngx_int_t ngx_http_lwc_files_give(ngx_uint_t side, ngx_fd_t fd);
ngx_fd_t ngx_http_lwc_files_take(ngx_uint_t side);

/* W: what belongs to the process, ngx_http_lwc_process.c */

void ngx_http_lwc_process_init(void);
void ngx_http_lwc_process_enter(void);
void ngx_http_lwc_process_left(ngx_http_request_t *r);

/* W: handlers that do not come back by themselves, ngx_http_lwc_stop.c */

void ngx_http_lwc_stop_init(void);
int ngx_http_lwc_stop_signal(void);
ngx_int_t ngx_http_lwc_stop_prepare(ngx_log_t *log);
void ngx_http_lwc_stop_arm(ngx_msec_t timeout);
void ngx_http_lwc_stop_disarm(void);

/* H: signals, timers, children */

void ngx_http_lwc_process_inside(void);
void ngx_http_lwc_process_forked(void);          /* in a child of H */

/* W: no number comes twice, ngx_http_lwc_random.c and ngx_http_lwc_perl.c */

ngx_int_t ngx_http_lwc_random_init(ngx_cycle_t *cycle);
void ngx_http_lwc_random_next(void);
void ngx_http_lwc_random_exit(void);
const char *ngx_http_lwc_perl_init(void);
void ngx_http_lwc_perl_next(void);

/* H: run the handler, ngx_http_lwc_inside.c; prepared in W */

ngx_int_t ngx_http_lwc_inside_init(ngx_cycle_t *cycle);
void ngx_http_lwc_inside(ngx_http_request_t *r, ngx_http_handler_pt handler,
    u_char *arena, size_t size, int caller)
    __attribute__((noreturn));
void ngx_http_lwc_inside_stop(ngx_uint_t outcome);

/* W: hostile input, ngx_http_lwc_check.c */

const char *ngx_http_lwc_check(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply);
u_char *ngx_http_lwc_next(ngx_http_lwc_reply_t *reply, u_char **pos,
    ngx_http_lwc_record_t *rec);

/* W: send it, ngx_http_lwc_replay.c */

void ngx_http_lwc_replay(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply);

/* the members of headers_out that point to a header, by role */

extern const size_t  ngx_http_lwc_roles[NGX_HTTP_LWC_ROLE_CACHE_CONTROL];

/* configuration, ngx_http_lwc_refuse.c */

ngx_int_t ngx_http_lwc_refuse_watch(ngx_conf_t *cf);
void ngx_http_lwc_refuse_done(void);


#endif /* _NGX_HTTP_LWC_H_INCLUDED_ */
