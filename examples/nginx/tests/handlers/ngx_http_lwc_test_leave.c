/* SPDX-License-Identifier: MIT */
/*
 * Handlers that are not done when they return: each leaves another kind of work
 * to be gone on with. With lwc_rollback on each must end in a 500 and a line in
 * the log; they are not run without it.
 */

#include "ngx_http_lwc_test.h"

#include <pthread.h>


static void
ngx_http_lwc_test_event_handler(ngx_event_t *ev)
{
    ngx_log_error(NGX_LOG_ALERT, ev->log, 0, "a test's event came to life");
}


static ngx_event_t *
ngx_http_lwc_test_event(ngx_http_request_t *r)
{
    ngx_event_t  *ev;

    ev = ngx_pcalloc(r->pool, sizeof(ngx_event_t));

    if (ev) {
        ev->handler = ngx_http_lwc_test_event_handler;
        ev->data = r->connection;
        ev->log = r->connection->log;
    }

    return ev;
}


static ngx_int_t
ngx_http_lwc_test_again(ngx_http_request_t *r)
{
    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_lwc_test_done(ngx_http_request_t *r)
{
    r->main->count++;

    return NGX_DONE;
}


/* says all it has to say, and keeps the request */

static ngx_int_t
ngx_http_lwc_test_count(ngx_http_request_t *r)
{
    r->main->count++;

    return ngx_http_lwc_test_say(r, "not the end\n");
}


static ngx_int_t
ngx_http_lwc_test_subrequest(ngx_http_request_t *r)
{
    ngx_str_t            uri = ngx_string("/hello");
    ngx_http_request_t  *sr;

    if (ngx_http_subrequest(r, &uri, NULL, &sr, NULL, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_lwc_test_say(r, "not all\n");
}


static ngx_int_t
ngx_http_lwc_test_background(ngx_http_request_t *r)
{
    ngx_str_t            uri = ngx_string("/hello");
    ngx_http_request_t  *sr;

    if (ngx_http_subrequest(r, &uri, NULL, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_lwc_test_say(r, "all, but\n");
}


static ngx_int_t
ngx_http_lwc_test_timer(ngx_http_request_t *r)
{
    ngx_event_t  *ev;

    ev = ngx_http_lwc_test_event(r);
    if (ev == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_add_timer(ev, 100);

    return ngx_http_lwc_test_say(r, "timer\n");
}


/* set and deleted again: nothing is left */

static ngx_int_t
ngx_http_lwc_test_timer_deleted(ngx_http_request_t *r)
{
    ngx_event_t  *ev;

    ev = ngx_http_lwc_test_event(r);
    if (ev == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_add_timer(ev, 100);
    ngx_del_timer(ev);

    return ngx_http_lwc_test_say(r, "no timer\n");
}


static ngx_int_t
ngx_http_lwc_test_posted(ngx_http_request_t *r)
{
    ngx_event_t  *ev;

    ev = ngx_http_lwc_test_event(r);
    if (ev == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_post_event(ev, &ngx_posted_events);

    return ngx_http_lwc_test_say(r, "posted\n");
}


static ngx_int_t
ngx_http_lwc_test_added(ngx_http_request_t *r)
{
    if (ngx_add_event(r->connection->read, NGX_READ_EVENT, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_lwc_test_say(r, "event\n");
}


static ngx_int_t
ngx_http_lwc_test_upstream(ngx_http_request_t *r)
{
    if (ngx_http_upstream_create(r) != NGX_OK) {
        return NGX_ERROR;
    }

    r->main->count++;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_lwc_test_task(ngx_http_request_t *r)
{
    r->main->blocked++;
    r->aio = 1;
    r->main->count++;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_lwc_test_buffered(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_lwc_test_say(r, "buffered\n");

    r->buffered |= NGX_HTTP_COPY_BUFFERED;

    return rc;
}


static void *
ngx_http_lwc_test_thread_main(void *data)
{
    for ( ;; ) {
        pause();
    }

    return data;
}


/* this one answers, and leaves something that nobody sees in nginx */

static ngx_int_t
ngx_http_lwc_test_thread(ngx_http_request_t *r)
{
    int        err;
    pthread_t  thread;

    err = pthread_create(&thread, NULL, ngx_http_lwc_test_thread_main, NULL);

    return ngx_http_lwc_test_say(r, "thread %d\n", err);
}


ngx_http_lwc_test_t  ngx_http_lwc_test_leaves[] = {
    { ngx_string("again"), ngx_http_lwc_test_again },
    { ngx_string("done"), ngx_http_lwc_test_done },
    { ngx_string("count"), ngx_http_lwc_test_count },
    { ngx_string("subrequest"), ngx_http_lwc_test_subrequest },
    { ngx_string("background"), ngx_http_lwc_test_background },
    { ngx_string("timer"), ngx_http_lwc_test_timer },
    { ngx_string("timer_deleted"), ngx_http_lwc_test_timer_deleted },
    { ngx_string("posted"), ngx_http_lwc_test_posted },
    { ngx_string("added"), ngx_http_lwc_test_added },
    { ngx_string("upstream"), ngx_http_lwc_test_upstream },
    { ngx_string("task"), ngx_http_lwc_test_task },
    { ngx_string("buffered"), ngx_http_lwc_test_buffered },
    { ngx_string("thread"), ngx_http_lwc_test_thread },
    { ngx_null_string, NULL }
};
