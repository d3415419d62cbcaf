/* SPDX-License-Identifier: Apache-2.0
 * A port: one configured backend, the queues of its ops, its state and what it grants. */
#ifndef MARTY_BUS_PORT_H
#define MARTY_BUS_PORT_H
#include "base/local.h"
#include "base/map.h"
#include "bus/bus.h"

/* ---- ports */
typedef struct marty__command {
    marty__link link; /* next NULL = not queued */
    void (*run)(marty__port *port, struct marty__command *command);
} marty__command;

typedef struct marty__adapter_timer {
    marty__alarm alarm;
    marty__command command;
    marty__port *port;
    void (*call)(void *user);
    void *user;
} marty__adapter_timer;

enum { MARTY__ADAPTER_TIMERS = 8 };

typedef struct marty__granted {
    marty_capabilities granted;
    struct marty__granted *next;
} marty__granted;

struct marty__port {
    marty_sink sink; /* first: the adapter's view of us */
    marty_bus *bus;
    size_t index;
    const char *name; /* of the backend in the configuration */
    char *url;        /* redacted */
    const marty_backend *backend;
    marty_port *adapter;
    marty__mutex lock;
    marty__cond changed; /* state, room */
    uint32_t asking;     /* threads in calls beside the ops, which keep the adapter alive */
    bool busy;           /* somebody runs the ops */
    bool handing;        /* an op has posts in its hands, */
    uint64_t handed;     /* as rounds before it had */
    marty__link posts, asks, settles, extends, grants, commands; /* asks: requests that wait for our
                                                                   reply channel */
    bool full;                 /* the adapter took not all: wait for its next answer */
    uint64_t answers;          /* of publishes, ever */
    struct marty__post **sent; /* by token: at its last bits, twice as many as are in flight */
    size_t sent_room;
    uint64_t last_token;
    size_t inflight;
    uint64_t inflight_bytes;
    size_t settling; /* given to the adapter, not answered */
    bool room_wanted;
    marty_state state; /* UP, DOWN, BLOCKED or CLOSED; DOWN at first */
    marty_err reason;
    char text[256];
    _Atomic(const marty_capabilities *) granted; /* read by marty__port_granted, without the lock */
    marty__granted *sets, first_set;             /* all there were */
    atomic_uint failures;                        /* attempts to connect since the last UP */
    uint32_t relapses;    /* connections, one after the other, that were lost at once */
    atomic_bool fruitful; /* something came by this one */
    int64_t up_ns;        /* the last UP */
    bool connecting, ever_up, closing, closed;
    marty__alarm reconnect_alarm, kick_alarm, room_alarm;
    marty__command connect_command, close_command;
    int64_t close_deadline_ns;
    marty__adapter_timer timers[MARTY__ADAPTER_TIMERS];
    marty__map consumers; /* number -> consumer */
    uint64_t next_number;
    marty__consumer *reply; /* of our reply channel, or NULL */
    bool reply_opening;     /* somebody is at it */
    bool reply_stands;      /* the broker has it */
    bool reply_refused;     /* for good, as it said last */
    atomic_bool lent;       /* a worker is asked for the adapter, and has not begun */
    marty__task lent_task;
    void (*lent_call)(void *user);
    void *lent_user;
};

/* ---- port.c, sink.c */
marty_err marty__port_open(marty_bus *bus, size_t index, marty_error *why);
/** Free the adapter (joins its threads); the port itself lives as long as the bus. */
void marty__port_shut(marty__port *port);
void marty__port_free(marty__port *port);
/** Run what is queued for the adapter, unless somebody is at it: so many rounds as are a share of
 * the work of others; the rest is the housekeeping thread's. No lock held. */
void marty__port_kick(marty__port *port);
/** The same with port->lock held, which it gives up. */
void marty__port_kick_held(marty__port *port);
/** How deep this thread is inside calls of adapters to us: no op may be called then. */
extern MARTY__LOCAL unsigned marty__in_sink;
/** The same from where no op may be called: on the housekeeping thread. */
void marty__port_kick_later(marty__port *port);
/** Whether there is something for the adapter and nobody at it. With the lock held. */
bool marty__port_waits(const marty__port *port);
/** Queue a command; false: it is queued already. */
bool marty__port_command(marty__port *port, marty__command *command);
void marty__port_connect(marty__port *port);
/** Up (or blocked) and not closed. Takes the lock. */
bool marty__port_usable(marty__port *port);
/** The same with the lock held. */
bool marty__port_usable_held(const marty__port *port);
/** UNAVAILABLE with the reason that it is not; MARTY_OK when it is. Takes the lock. */
marty_err marty__port_check(marty__port *port, marty_error *why);
/** The op of that name, with the port's name in front of its error. E: UNSUPPORTED, UNAVAILABLE
 * (down or closed), its own. */
marty_err marty__port_topology(marty__port *port, const char *verb, const marty_want *what,
                               int64_t deadline_ns, marty_message **ret_answer, marty_error *why);
/** For what is called beside the ops: keep the adapter from being freed, if it is up; and no more.
 * With the lock held. */
bool marty__port_enter_held(marty__port *port);
void marty__port_leave_held(marty__port *port);
/** Whether this thread, which is going to publish and to wait until then, leads: then serve comes
 * next, once the posts are with the adapter. Never inside of a handler. */
bool marty__port_lead(marty__port *port, int64_t until_ns);
/** Do what waits. */
void marty__port_serve(marty__port *port);
/** Connect again after the backoff. */
void marty__port_retry(marty__port *port);
void marty__port_close(marty__port *port, int64_t deadline_ns);
/** As granted now, as claimed while it never was up; for as long as the port is there. No lock. */
const marty_capabilities *marty__port_granted(const marty__port *port);
/** Whether a kind and order of channel has a capability there, by these. */
bool marty__port_can(const marty__port *port, marty_kind kind, marty_order order, uint64_t bit);
/** From now on; port->lock held. */
void marty__port_set_granted(marty__port *port, const marty_capabilities *granted);
void marty__port_free_granted(marty__port *port);
void marty__sink_init(marty__port *port);

/* ---- lend.c */
/** Have a worker call an adapter back; false: none is lent. */
bool marty__lend(marty__port *port, void (*call)(void *user), void *user);
#endif
