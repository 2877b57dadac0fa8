/* SPDX-License-Identifier: MIT */
/*
 * What the request context H tells the worker W, in memory that both see: one
 * result, then records, each 8-byte aligned. H writes it and may be broken or
 * worse, so nothing here may hold a pointer, and W must never look at it in
 * place: it copies it once, then checks the copy (ngx_http_lwc_check.c).
 */

#ifndef _NGX_HTTP_LWC_ARENA_H_INCLUDED_
#define _NGX_HTTP_LWC_ARENA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* how the handler ended: ngx_http_lwc_result_t.outcome */

#define NGX_HTTP_LWC_NOTHING        0    /* not at all: W writes this first */
#define NGX_HTTP_LWC_FINALIZE       1    /* finalize the request with rc */
#define NGX_HTTP_LWC_SPECIAL        2    /* the same, an error page was begun */
#define NGX_HTTP_LWC_REDIRECT       3    /* to the URI of record URI and ARGS */
#define NGX_HTTP_LWC_NAMED          4    /* to the location of record NAME */
#define NGX_HTTP_LWC_LEFT           5    /* it is not done: rc says why */
#define NGX_HTTP_LWC_FULL           6    /* needs an arena of "used" bytes */
#define NGX_HTTP_LWC_ABORTED        7    /* and a fault: it called abort() */
#define NGX_HTTP_LWC_LATE           8    /* and a fault: its time was over */


typedef struct {
    uint32_t    outcome;
    int32_t     rc;
    uint64_t    used;                    /* bytes of records */
} ngx_http_lwc_result_t;


/* what an unfinished handler left: rc of NGX_HTTP_LWC_LEFT */

#define NGX_HTTP_LWC_LEFT_AGAIN     1
#define NGX_HTTP_LWC_LEFT_UPSTREAM  2
#define NGX_HTTP_LWC_LEFT_REQUEST   3
#define NGX_HTTP_LWC_LEFT_TIMER     4
#define NGX_HTTP_LWC_LEFT_EVENT     5
#define NGX_HTTP_LWC_LEFT_POSTED    6
#define NGX_HTTP_LWC_LEFT_THREAD    7
#define NGX_HTTP_LWC_LEFT_BUFFERED  8
#define NGX_HTTP_LWC_LEFT_COUNT     9


/* ngx_http_lwc_record_t.type, and what arg and the bytes after it are */

#define NGX_HTTP_LWC_HEAD           1    /* ngx_http_lwc_head_t */
#define NGX_HTTP_LWC_STATUS_LINE    2    /* text */
#define NGX_HTTP_LWC_CONTENT_TYPE   3    /* text */
#define NGX_HTTP_LWC_CHARSET        4    /* text */
#define NGX_HTTP_LWC_HEADER         5    /* flags: role, arg: key's length */
#define NGX_HTTP_LWC_TRAILER        6    /* arg: key's length */
#define NGX_HTTP_LWC_URI            7    /* text */
#define NGX_HTTP_LWC_ARGS           8    /* text */
#define NGX_HTTP_LWC_NAME           9    /* text */
#define NGX_HTTP_LWC_VARIABLE       10   /* arg: index, flags: VALUE_* */
#define NGX_HTTP_LWC_CALL           11   /* a call of the body filters begins */
#define NGX_HTTP_LWC_DATA           12   /* flags: BUF_*, bytes */
#define NGX_HTTP_LWC_FILE           13   /* flags: BUF_*, ngx_http_lwc_file_t */


typedef struct {
    uint16_t    type;
    uint16_t    flags;
    uint32_t    arg;
    uint64_t    len;                     /* of the bytes that follow */
} ngx_http_lwc_record_t;


/*
 * room for one record: two zero bytes at least follow its own, so that W
 * can end a key and its value as C strings
 */

#define ngx_http_lwc_room(len)                                                \
    (sizeof(ngx_http_lwc_record_t) + ngx_align((size_t) (len) + 2, 8))


#define NGX_HTTP_LWC_HEAD_SENT           0x0001
#define NGX_HTTP_LWC_HEAD_KEEPALIVE      0x0002
#define NGX_HTTP_LWC_HEAD_ALLOW_RANGES   0x0004
#define NGX_HTTP_LWC_HEAD_SINGLE_RANGE   0x0008
#define NGX_HTTP_LWC_HEAD_NO_304         0x0010
#define NGX_HTTP_LWC_HEAD_TRAILERS       0x0020
#define NGX_HTTP_LWC_HEAD_ERROR_PAGE     0x0040
#define NGX_HTTP_LWC_HEAD_IN_MEMORY      0x0080
#define NGX_HTTP_LWC_HEAD_ONLY           0x0100  /* the handler wants no body */
#define NGX_HTTP_LWC_HEAD_KNOWN_ONLY     0x0200  /* it knew there is none */
#define NGX_HTTP_LWC_HEAD_RATE           0x0400
#define NGX_HTTP_LWC_HEAD_RATE_AFTER     0x0800


typedef struct {
    uint32_t    status;
    uint32_t    flags;
    int64_t     content_length;
    int64_t     last_modified;
    uint64_t    content_type_len;        /* without parameters */
    uint64_t    limit_rate;
    uint64_t    limit_rate_after;
} ngx_http_lwc_head_t;


/*
 * which member of headers_out points to a header; the order is that of
 * ngx_http_lwc_roles[], and the last two may be held by several
 */

#define NGX_HTTP_LWC_ROLE_NONE           0
#define NGX_HTTP_LWC_ROLE_ONE            1
#define NGX_HTTP_LWC_ROLE_CONTENT_LENGTH 3
#define NGX_HTTP_LWC_ROLE_CACHE_CONTROL  13
#define NGX_HTTP_LWC_ROLE_LINK           14
#define NGX_HTTP_LWC_ROLES               15


#define NGX_HTTP_LWC_VALUE_VALID         0x01
#define NGX_HTTP_LWC_VALUE_NO_CACHEABLE  0x02
#define NGX_HTTP_LWC_VALUE_NOT_FOUND     0x04
#define NGX_HTTP_LWC_VALUE_ESCAPE        0x08


#define NGX_HTTP_LWC_BUF_FLUSH           0x01
#define NGX_HTTP_LWC_BUF_LAST            0x02
#define NGX_HTTP_LWC_BUF_LAST_IN_CHAIN   0x04
#define NGX_HTTP_LWC_BUF_SYNC            0x08


/*
 * Part of a file. The descriptor itself comes through a socket: one that was
 * opened in H does not exist in W. dev and ino tell whether the two belong
 * together.
 */

typedef struct {
    uint64_t    dev;
    uint64_t    ino;
    int64_t     first;
    int64_t     last;
} ngx_http_lwc_file_t;


#endif /* _NGX_HTTP_LWC_ARENA_H_INCLUDED_ */
