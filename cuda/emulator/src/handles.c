/* Handles carry a generation, so that one that was destroyed stays known as such and is
 * never mistaken for its successor. Low numbers, so that nobody dereferences them. */
#include <stdlib.h>

#include "emu.h"

/* generation (36 bits), index from 1 (24 bits), kind (4 bits): above CU_STREAM_LEGACY and
 * CU_STREAM_PER_THREAD, which are 1 and 2. */
enum { KIND_BITS = 4, INDEX_BITS = 24 };

struct slot {
  void *object;
  uint64_t generation;
  size_t next_free; /* 0: none */
};

static struct slot *slots;
static size_t used = 1, room, first_free;

static struct slot *slot_of(enum kind kind, uint64_t handle, uint64_t *generation) {
  size_t index = (handle >> KIND_BITS) & (((size_t)1 << INDEX_BITS) - 1);
  *generation = handle >> (KIND_BITS + INDEX_BITS);
  bool ours = (handle & ((1 << KIND_BITS) - 1)) == (uint64_t)kind && index && index < used;
  return ours ? &slots[index] : NULL;
}

uint64_t handle_new(enum kind kind, void *object) {
  size_t index = first_free;
  if (index) {
    first_free = slots[index].next_free;
  } else {
    if (used >= room) {
      room = room ? 2 * room : 256;
      struct slot *grown = realloc(slots, room * sizeof *slots);
      if (!grown || room > (size_t)1 << INDEX_BITS) {
        say("more than %zu handles", used);
        abort();
      }
      slots = grown;
    }
    index = used++;
    slots[index].generation = 0;
  }
  struct slot *s = &slots[index];
  s->object = object;
  s->generation++;
  return s->generation << (KIND_BITS + INDEX_BITS) | (uint64_t)index << KIND_BITS | (uint64_t)kind;
}

void *handle_get(enum kind kind, uint64_t handle) {
  uint64_t generation;
  struct slot *s = slot_of(kind, handle, &generation);
  return s && s->generation == generation ? s->object : NULL;
}

/* The slot's present holder may be of another kind; the generation tells them apart. */
bool handle_was(enum kind kind, uint64_t handle) {
  uint64_t generation;
  struct slot *s = slot_of(kind, handle, &generation);
  return s && generation &&
         (generation < s->generation || (generation == s->generation && !s->object));
}

void handle_free(uint64_t handle) {
  size_t index = (handle >> KIND_BITS) & (((size_t)1 << INDEX_BITS) - 1);
  slots[index].object = NULL;
  slots[index].next_free = first_free;
  first_free = index;
}
