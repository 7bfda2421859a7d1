/* The memory of the GPU as all processes see it: a directory of files, one for each
 * physical allocation, and the sum of those that somebody still holds.
 *
 * Who holds one is asked of the kernel. A file's lock (flock) belongs to the open file,
 * not to a process: to every descriptor that was duplicated from it, also into another
 * process or a message that nobody has read yet, and to every mapping made through it. So
 * the lock goes when the last of them goes, by whatever end, SIGKILL included, and a file
 * that can be locked anew is memory that is free. Nobody has to keep a count that a
 * killed process could leave wrong, and there is no server that could be missing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emu.h"

static char path[512];
static int directory = -1, guard = -1, users = -1;
static uint64_t total;
static dev_t device;

/* Allocations are named by what has to be known of them without opening them. */
static void name_of(char name[64], uint64_t size, bool exportable, ino_t inode) {
  snprintf(name, 64, "%c-%" PRIx64 "-%" PRIx64, exportable ? 'x' : 'n', (uint64_t)inode, size);
}

static bool parse(const char *name, uint64_t *size, ino_t *inode) {
  char c;
  int n = 0;
  uint64_t i;
  if (sscanf(name, "%c-%" SCNx64 "-%" SCNx64 "%n", &c, &i, size, &n) != 3 || name[n]) return false;
  *inode = (ino_t)i;
  return c == 'x' || c == 'n';
}

static bool file_lock(int fd, int how) {
  int r;
  do r = flock(fd, how);
  while (r && errno == EINTR);
  return r == 0;
}

/* Between processes; within one the lock of all state does it. */
static void enter_directory(void) {
  if (!file_lock(guard, LOCK_EX)) {
    say("cannot lock %s/guard: %s", path, strerror(errno));
    abort();
  }
}
static void leave_directory(void) { file_lock(guard, LOCK_UN); }

/* With the directory entered: removes the file if nobody holds its memory. */
static bool reap(const char *name) {
  int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno == ENOENT;
  bool dead = file_lock(fd, LOCK_EX | LOCK_NB);
  if (dead) unlinkat(directory, name, 0);
  close(fd);
  return dead;
}

static uint64_t sum(void) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d) {
    say("cannot read %s: %s", path, strerror(errno));
    abort();
  }
  uint64_t used = 0, size;
  ino_t inode;
  for (struct dirent *e; (e = readdir(d));)
    if (parse(e->d_name, &size, &inode) && (physical_of_inode(inode) || !reap(e->d_name)))
      used += size;
  closedir(d);
  return used;
}

uint64_t gpu_total(void) { return total; }

uint64_t gpu_used(void) {
  enter_directory();
  uint64_t used = sum();
  leave_directory();
  return used;
}

/* The same for all processes of a GPU, and the next time it is used. */
void gpu_uuid(char bytes[16]) {
  uint64_t h[2] = {0xcbf29ce484222325u, 0x9e3779b97f4a7c15u};
  for (const char *p = path; *p; p++)
    for (int i = 0; i < 2; i++) h[i] = (h[i] ^ (unsigned char)*p) * 0x100000001b3u + (uint64_t)i;
  memcpy(bytes, h, 16);
}

static CUresult refuse(const char *what) {
  say("the GPU's directory %s: %s: %s", path, what, strerror(errno));
  return CUDA_ERROR_SYSTEM_NOT_READY;
}

/* The first user decides how much memory there is; later ones may not want another. */
static CUresult agree_on_total(void) {
  bool first = file_lock(users, LOCK_EX | LOCK_NB);
  char text[32] = "";
  if (!first && pread(users, text, sizeof text - 1, 0) <= 0)
    return refuse("the file users is unreadable");
  total = first ? settings.memory : strtoull(text, NULL, 10);
  if (!first && settings.memory_given && settings.memory != total) {
    say("OFFHOST_EMU_MEMORY is %" PRIu64 ", but other processes use %s with %" PRIu64,
        settings.memory, path, total);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  if (first) {
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", total);
    if (ftruncate(users, 0) || pwrite(users, text, (size_t)n, 0) != n)
      return refuse("cannot write the file users");
  }
  if (!file_lock(users, LOCK_SH)) return refuse("cannot lock the file users");
  return CUDA_SUCCESS;
}

static CUresult open_all(void) {
  const char *given = getenv("OFFHOST_EMU_DIR");
  if (given && *given)
    snprintf(path, sizeof path, "%s", given);
  else
    snprintf(path, sizeof path, "%s/offhost-emu-%u", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (unsigned)getuid());
  if (mkdir(path, 0700) && errno != EEXIST) return refuse("cannot make it");
  directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  struct stat s;
  if (directory < 0 || fstat(directory, &s)) return refuse("cannot open it");
  if (s.st_uid != geteuid() || (s.st_mode & 077)) {
    say("the GPU's directory %s has to be the user's own and closed to others: mode 0700, not %04o of user %u",
        path, (unsigned)s.st_mode & 07777, (unsigned)s.st_uid);
    return CUDA_ERROR_SYSTEM_NOT_READY;
  }
  device = s.st_dev;
  char *whole = realpath(path, NULL);
  if (whole) snprintf(path, sizeof path, "%s", whole);
  free(whole);
  guard = openat(directory, "guard", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  users = openat(directory, "users", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (guard < 0 || users < 0) return refuse("cannot open its files");
  enter_directory();
  CUresult result = agree_on_total();
  if (!result) sum(); /* memory of processes that were killed goes back to the host */
  leave_directory();
  return result;
}

static void close_one(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

CUresult gpu_open(void) {
  CUresult result = open_all();
  if (result) {
    close_one(&directory);
    close_one(&guard);
    close_one(&users);
  }
  return result;
}

/* With the directory entered. "new" is left behind by whoever dies in here. */
static CUresult take(uint64_t size, bool exportable, bool filled, int *fd, ino_t *inode) {
  if (size > total || sum() > total - size) return CUDA_ERROR_OUT_OF_MEMORY;
  unlinkat(directory, "new", 0);
  *fd = openat(directory, "new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  struct stat s;
  char name[64];
  if (*fd < 0 || fstat(*fd, &s)) {
    say("cannot make an allocation in %s: %s", path, strerror(errno));
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  *inode = s.st_ino;
  name_of(name, size, exportable, s.st_ino);
  /* Pages are there from the start: the first copy would take as long again to get them. */
  bool made = file_lock(*fd, LOCK_EX | LOCK_NB) && ftruncate(*fd, (off_t)size) == 0 &&
              (!filled || fallocate(*fd, 0, 0, (off_t)size) == 0 || errno == EOPNOTSUPP) &&
              renameat(directory, "new", directory, name) == 0;
  if (made) return CUDA_SUCCESS;
  say("the host has no room in %s for an allocation of %" PRIu64 " bytes: %s", path, size,
      strerror(errno));
  unlinkat(directory, "new", 0);
  close(*fd);
  return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult gpu_take(uint64_t size, bool exportable, bool filled, int *fd, ino_t *inode) {
  enter_directory();
  CUresult result = take(size, exportable, filled, fd, inode);
  leave_directory();
  return result;
}

bool gpu_recognise(int fd, uint64_t *size, bool *exportable, ino_t *inode) {
  struct stat s, named;
  if (fstat(fd, &s) || !S_ISREG(s.st_mode) || s.st_dev != device) return false;
  char name[64];
  *size = (uint64_t)s.st_size;
  *inode = s.st_ino;
  enter_directory();
  bool known = false;
  for (int x = 0; x < 2 && !known; x++) {
    *exportable = x == 1;
    name_of(name, *size, *exportable, s.st_ino);
    known = fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == s.st_ino;
  }
  if (known && !file_lock(fd, LOCK_EX | LOCK_NB)) {
    misuse(
        OFFHOST_EMU_FOREIGN_DESCRIPTOR,
        "descriptor %d was opened anew by its path: only what cuMemExportToShareableHandle gave, and duplicates of it, keep memory",
        fd);
    known = false;
  }
  leave_directory();
  return known;
}

void gpu_drop(uint64_t size, bool exportable, ino_t inode) {
  char name[64];
  name_of(name, size, exportable, inode);
  enter_directory();
  reap(name);
  leave_directory();
}
