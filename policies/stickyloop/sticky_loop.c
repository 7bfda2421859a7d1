/* sticky-loop: learns the sequence of calls and evicts what it expects last.
 *
 * Three parts, in the order of this file: the history of what was called (with
 * loops folded and a position that says what is expected next), the next use of
 * each component read off it, and the answer to NEED. README.md explains why it is
 * so and what was tried instead.
 */
#include "../residency.h"

ABOUT("name=sticky-loop");
ABOUT("version=1");
ABOUT("reason.1=not expected again");
ABOUT("reason.2=expected furthest ahead");
ABOUT("reason.3=in the loop, but last to come round");

enum { NOT_EXPECTED = 1, FURTHEST_AHEAD, LAST_IN_LOOP };

/* A token stands for a run of calls of one component (its id), or for the beginning
 * of a request (FIRST_PIPELINE + the slot of the pipeline's signature). */
enum {
  PIPELINES = 64,
  FIRST_PIPELINE = OFFHOST_MAX_COMPONENTS,
  TOKENS = FIRST_PIPELINE + PIPELINES,
};

/* Bounds on memory and on the work of one event. */
enum {
  HISTORY = 1 << 14,      /* tokens: two rounds of 4,096 components and as many before */
  MAX_CANDIDATES = 32,    /* earlier occurrences compared with the present */
  MAX_CONTEXT = 64,       /* tokens compared for each */
  MAX_WALK = HISTORY / 2, /* tokens looked ahead */
};

/* ---- history ---------------------------------------------------------------- */

/* Positions count up for ever; the last HISTORY of them are kept. */
static struct {
  uint16_t token;
  uint16_t distance; /* to the same token's previous occurrence, 0: none kept */
} history[HISTORY];
static uint32_t length;

static uint32_t occurred[TOKENS]; /* position after the last occurrence, 0: none */
static uint8_t finished[TOKENS];  /* its last run was of several calls, or its loop was left */

/* The position whose token is expected next; length when nothing is. */
static uint32_t expected;

/* The innermost loop that is running: its body is the last period tokens. Two rounds
 * of it are kept, further ones are not recorded. 0: none. */
static uint32_t period;
static uint32_t phase;    /* of the body: its tokens seen in this round */
static uint32_t recurred; /* the last tokens in a row with one and the same distance */

static uint32_t current = TOKENS;    /* the token of the run in progress */
static uint32_t request_began;       /* position after the last BEGIN */
static uint64_t pipelines[PIPELINES]; /* signatures by slot, the oldest replaced */
static uint32_t pipelines_seen;

#define AT(position) history[(position) % HISTORY]

static int kept(uint32_t position) {
  return length - position <= HISTORY;
}

/* The position after the earlier occurrence of the last token that has most of
 * what precedes it in common with the present; the most recent of equals. */
static uint32_t after_longest_context(void) {
  uint32_t here = length - 1, at = here, best = length, longest = 0;
  for (int i = 0; i < MAX_CANDIDATES && longest < MAX_CONTEXT && AT(at).distance != 0; i++) {
    at -= AT(at).distance;
    if (!kept(at)) break;
    uint32_t same = 1;
    while (same < MAX_CONTEXT && same <= at && kept(at - same) &&
           AT(at - same).token == AT(here - same).token)
      same++;
    if (same > longest) {
      longest = same;
      best = at + 1;
    }
  }
  return best;
}

static void append(uint32_t token) {
  int right = expected != length && kept(expected) && AT(expected).token == token;
  uint32_t distance = occurred[token] != 0 ? length - (occurred[token] - 1) : 0;
  if (distance >= HISTORY) distance = 0;
  if (distance == 0) recurred = 0;
  else if (distance == AT(length - 1).distance) recurred++;
  else recurred = 1;

  AT(length).token = (uint16_t)token;
  AT(length).distance = (uint16_t)distance;
  occurred[token] = ++length;
  expected = right ? expected + 1 : after_longest_context();
}

static void see(uint32_t token) {
  finished[token] = token == current;
  if (token == current) return;
  current = token;
  if (period != 0) {
    if (AT(length - period + phase).token == token) {
      phase = phase + 1 == period ? 0 : phase + 1;
      return;
    }
    for (uint32_t i = 0; i < period; i++) finished[AT(length - period + i).token] = 1;
    period = 0;
    finished[token] = 0;
  }
  append(token);
  uint32_t distance = AT(length - 1).distance;
  if (distance != 0 && recurred >= distance) {
    period = distance;
    phase = 0;
  }
}

static void see_request(uint64_t signature) {
  uint32_t slot = 0, known = pipelines_seen < PIPELINES ? pipelines_seen : PIPELINES;
  while (slot < known && pipelines[slot] != signature) slot++;
  if (slot == known) {
    slot = pipelines_seen++ % PIPELINES;
    pipelines[slot] = signature;
  }
  see(FIRST_PIPELINE + slot);
  request_began = length;
}

/* ---- next uses ---------------------------------------------------------------- */

/* Resident components in the order in which they are expected, soonest first. */
static uint16_t soonest[OFFHOST_MAX_COMPONENTS];
static uint32_t foreseen, foreseen_in_loop;

static uint32_t outlook;                             /* counts looks ahead */
static uint32_t seen_ahead[OFFHOST_MAX_COMPONENTS]; /* the last look that saw it */

static void expect(uint32_t token) {
  if (token >= OFFHOST_MAX_COMPONENTS || seen_ahead[token] == outlook) return;
  seen_ahead[token] = outlook;
  if (components[token].resident != 0) soonest[foreseen++] = (uint16_t)token;
}

/* Reads the future off the history: the loop's body once round, then what followed
 * it last time. A loop's end is not predicted, it is waited for. */
static void look_ahead(void) {
  outlook++;
  foreseen = 0;
  uint32_t body = length - period;
  for (uint32_t i = 0, at = phase; i < period && foreseen < residents; i++) {
    expect(AT(body + at).token);
    at = at + 1 == period ? 0 : at + 1;
  }
  foreseen_in_loop = foreseen;
  if (!kept(expected)) return;
  uint32_t ahead = length - expected, most = MAX_WALK - (period < MAX_WALK ? period : MAX_WALK);
  if (ahead > most) ahead = most;
  for (uint32_t i = 0; i < ahead && foreseen < residents; i++) expect(AT(expected + i).token);
}

/* ---- the answer ---------------------------------------------------------------- */

static uint64_t wanted; /* bytes that are still to be freed */

static void give_up(uint32_t id, uint16_t reason) {
  if (id == event->component || !evictable(id)) return;
  uint64_t freed = evict(id, wanted, reason);
  wanted -= freed < wanted ? freed : wanted;
}

static int enough(void) {
  return wanted == 0 || answered == OFFHOST_MAX_DECISIONS;
}

static void give_up_unforeseen(uint32_t id) {
  if (seen_ahead[id] != outlook) give_up(id, NOT_EXPECTED);
}

/* What is not foreseen is dead, or has not been seen to come back yet. Earlier
 * requests' components go first. Then, of this request's, those whose phase is over
 * (a run of several calls, or a loop that was left): they return with the next
 * request, the latest phase last. What was called once stays longest: it may be the
 * first member of a loop that has only begun. */
static void answer_from_unforeseen(void) {
  uint32_t i = oldest;
  for (; i != 0 && occurred[i - 1] <= request_began && !enough(); i = components[i - 1].newer)
    give_up_unforeseen(i - 1);
  uint32_t first = i; /* of this request; the list is in order of use */
  if (first == 0) return;
  for (i = newest; !enough(); i = components[i - 1].older) {
    if (finished[i - 1]) give_up_unforeseen(i - 1);
    if (i == first) break;
  }
  for (i = first; i != 0 && !enough(); i = components[i - 1].newer)
    if (!finished[i - 1]) give_up_unforeseen(i - 1);
}

static void answer_need(void) {
  wanted = event->amount;
  look_ahead();
  if (foreseen < residents) answer_from_unforeseen();
  for (uint32_t i = foreseen; i > 0 && !enough(); i--)
    give_up(soonest[i - 1], i > foreseen_in_loop ? FURTHEST_AHEAD : LAST_IN_LOOP);
}

OFFHOST_EXPORT("offhost_v1_event") int32_t offhost_v1_event(uint32_t len) {
  switch (residency_event(len)) {
  case OFFHOST_BEGIN:
    see_request(event->name_hash);
    break;
  case OFFHOST_CALL:
    see(event->component);
    break;
  case OFFHOST_NEED:
    answer_need();
    break;
  }
  return (int32_t)answered;
}
