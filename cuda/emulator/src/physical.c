/* Physical allocations that this process holds: by a handle, a mapping or an operation. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emu.h"

static struct physical *all;

struct physical *physical_of_inode(ino_t inode) {
  struct physical *p = all;
  while (p && p->inode != inode) p = p->next;
  return p;
}

static CUresult adopt(int fd, ino_t inode, uint64_t size, bool exportable, bool filled,
                      struct physical **made) {
  void *bytes =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (filled ? MAP_POPULATE : 0), fd, 0);
  if (bytes == MAP_FAILED) {
    say("cannot map an allocation of %" PRIu64 " bytes: %s", size, strerror(errno));
    close(fd);
    gpu_drop(size, exportable, inode);
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  struct physical *p = allocate(sizeof *p);
  *p = (struct physical){.next = all,
                         .inode = inode,
                         .fd = fd,
                         .size = size,
                         .exportable = exportable,
                         .references = 1,
                         .bytes = bytes};
  all = p;
  *made = p;
  return CUDA_SUCCESS;
}

CUresult physical_new(uint64_t size, bool exportable, bool filled, struct physical **made) {
  int fd;
  ino_t inode;
  CUresult result = gpu_take(size, exportable, filled, &fd, &inode);
  return result ? result : adopt(fd, inode, size, exportable, filled, made);
}

/* The descriptor stays the caller's; this process keeps a duplicate of it. What it holds
 * already it then holds once more, under another handle. */
CUresult physical_import(int fd, struct physical **imported) {
  uint64_t size;
  bool exportable;
  ino_t inode;
  if (!gpu_recognise(fd, &size, &exportable, &inode)) return CUDA_ERROR_INVALID_VALUE;
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) {
    say("cannot keep a descriptor: %s", strerror(errno));
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  CUresult result = adopt(own, inode, size, exportable, false, imported);
  if (!result) (*imported)->imported = true;
  return result;
}

struct physical *physical_keep(struct physical *p) {
  p->references++;
  return p;
}

void physical_drop(struct physical *p) {
  if (--p->references) return;
  struct physical **at = &all;
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  munmap(p->bytes, p->size);
  close(p->fd);
  gpu_drop(p->size, p->exportable, p->inode);
  free(p);
}

uint64_t physical_handle(struct physical *p) {
  physical_keep(p);
  if (!p->handles++) p->handle = handle_new(AN_ALLOCATION, p);
  return p->handle;
}

void physical_release(struct physical *p) {
  if (!--p->handles) {
    handle_free(p->handle);
    p->handle = 0;
  }
  physical_drop(p);
}

unsigned long physical_leaks(bool note) {
  unsigned long n = 0;
  for (struct physical *p = all; p; p = p->next) {
    n += p->handles;
    if (p->handles && note)
      misuse(OFFHOST_EMU_LEAK,
             "allocation 0x%" PRIx64 " of %" PRIu64
             " bytes: its handle was not released (%u times)",
             p->handle, p->size, p->handles);
  }
  return n;
}
