/* Finds the driver, runs the cases and says how each ended.
 *
 *   suite [-q|-v] [PART OF A NAME...]
 *
 * OFFHOST_CUDA_LIB names the driver, bin/libcuda.so.1 if it is not set. Prints a line for
 * each case and one for all, with -q none for a case that passed, with -v all that it
 * wrote; the exit code is 1 if one failed, 2 if none could be run. */
#include <dlfcn.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

enum { SKIPPED = 77, SECONDS = 30, JOBS = 8 };

struct driver d;
void *library;

static struct entry {
  const char *name;
  unsigned needs;
  void (*run)(void);
} cases[400];
static size_t case_count;

void add_case(const char *name, unsigned needs, void (*run)(void)) {
  if (case_count == sizeof cases / sizeof *cases) abort();
  cases[case_count++] = (struct entry){name, needs, run};
}

bool emulated(void) { return d.offhostEmuVersion != NULL; }

void check(bool condition, const char *text, const char *file, int line) {
  if (condition) return;
  fprintf(stderr, "%s:%d: %s does not hold\n", file, line, text);
  _exit(1);
}

static const char *result_name(CUresult result) {
  const char *name = NULL;
  d.cuGetErrorName(result, &name);
  return name ? name : "an unknown result";
}

void check_result(CUresult got, CUresult want, const char *text, const char *file, int line) {
  if (got == want) return;
  fprintf(stderr, "%s:%d: %s gave %s (%d), want %s (%d)\n", file, line, text, result_name(got), got,
          result_name(want), want);
  _exit(1);
}

void check_misuse(int kind, unsigned long count, const char *file, int line) {
  if (!emulated()) return;
  unsigned long got = d.offhostEmuMisuseCount(kind), all = d.offhostEmuMisuseCount(-1);
  if (got != count || all != got) {
    fprintf(stderr, "%s:%d: %s was noted %lu times, want %lu, and others %lu times\n", file, line,
            d.offhostEmuMisuseName(kind), got, count, all - got);
    _exit(1);
  }
  d.offhostEmuReset();
}

void skip(const char *why) {
  fprintf(stderr, "%s", why);
  _exit(SKIPPED);
}

/* What a case needs and the driver does not have, NULL if it has everything. */
static const char *missing(unsigned needs) {
  if (emulated()) return NULL;
  return needs & FAULTS       ? "needs injected faults"
         : needs & MISUSE     ? "needs misuse detection"
         : needs & CLOCK      ? "needs the copy engines' clock"
         : needs & KERNEL     ? "needs the emulated kernel"
         : needs & ACCOUNTING ? "needs a GPU to itself, with exact accounting"
         : needs & SETTINGS   ? "needs the stand-in's settings"
                              : NULL;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *f) {
  (void)s, (void)type, (void)f;
  return remove(path);
}

static void run_one(const struct entry *c, const char *directory, int log) {
  dup2(log, STDERR_FILENO);
  setpgid(0, 0); /* its helpers end with it */
  alarm(SECONDS);
  set("OFFHOST_EMU_DIR", directory);
  set("OFFHOST_EMU_STRICT", "report");
  set("OFFHOST_EMU_MEMORY", "64MiB");
  c->run();
  if (emulated() && d.offhostEmuMisuseCount(-1)) {
    fprintf(stderr, "misuse that the case did not expect\n");
    _exit(1);
  }
  _exit(0);
}

/* A case that is running. */
struct job {
  const struct entry *entry;
  pid_t pid;  /* 0: none is */
  int log;    /* what it writes */
  int status; /* how it ended, as waitpid has it */
  char directory[64];
};

static void start(struct job *j, const struct entry *c) {
  j->entry = c;
  j->log = memfd_create("log", MFD_CLOEXEC);
  snprintf(j->directory, sizeof j->directory, "%s/offhost-conformance-XXXXXX",
           access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
  if (j->log < 0 || !mkdtemp(j->directory)) {
    perror("starting a case");
    exit(2);
  }
  fflush(stdout);
  j->pid = fork();
  if (j->pid == 0) run_one(c, j->directory, j->log);
}

/* Waits for any of them to end. */
static struct job *finish(struct job *jobs, int count) {
  for (;;) {
    int status;
    pid_t pid = wait(&status);
    for (int i = 0; i < count; i++) {
      if (pid <= 0 || jobs[i].pid != pid) continue;
      kill(-pid, SIGKILL); /* what it left behind */
      nftw(jobs[i].directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
      jobs[i].pid = 0;
      jobs[i].status = status;
      return &jobs[i];
    }
  }
}

static void print_log(int log) {
  char text[4096];
  lseek(log, 0, SEEK_SET);
  for (ssize_t n; (n = read(log, text, sizeof text)) > 0;) fwrite(text, 1, (size_t)n, stdout);
}

static const char *load_driver(void) {
  const char *path = getenv("OFFHOST_CUDA_LIB");
  if (!path || !*path) path = "bin/libcuda.so.1";
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    exit(2);
  }
  const char *absent = NULL;
  void *function;
#define FIND(name)                                                                                 \
  function = dlsym(library, #name);                                                                \
  if (!function) absent = #name;                                                                   \
  memcpy(&d.name, &function, sizeof function);
  EMULATOR(FIND)
  absent = NULL;
  DRIVER(FIND)
#undef FIND
  if (absent) {
    fprintf(stderr, "%s has no %s\n", path, absent);
    exit(2);
  }
  return path;
}

static int passed, failed, skipped;

static void report(const struct job *j, bool verbose, bool quiet) {
  const char *name = j->entry->name;
  int status = j->status;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    passed++;
    if (!quiet) printf("ok   %s\n", name);
    if (verbose) print_log(j->log);
  } else if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
    skipped++;
    printf("skip %s: ", name);
    print_log(j->log);
    printf("\n");
  } else {
    failed++;
    printf("FAIL %s: ", name);
    printf(WIFSIGNALED(status) ? "signal %d\n" : "exit code %d\n",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    print_log(j->log);
  }
  close(j->log);
}

int main(int argc, char **argv) {
  bool verbose = argc > 1 && !strcmp(argv[1], "-v"), quiet = argc > 1 && !strcmp(argv[1], "-q");
  int first = 1 + (verbose || quiet);
  const char *path = load_driver();
  printf("driver %s%s\n", path, emulated() ? " (the stand-in)" : "");
  /* Each case of the stand-in has a GPU of its own, and mostly waits. */
  struct job jobs[JOBS] = {{0}};
  int at_once = emulated() ? JOBS : 1, running = 0;
  for (size_t i = 0; i < case_count; i++) {
    bool wanted = argc <= first;
    for (int a = first; a < argc; a++) wanted |= strstr(cases[i].name, argv[a]) != NULL;
    const char *why = missing(cases[i].needs);
    if (!wanted) continue;
    if (why) {
      printf("skip %s: %s\n", cases[i].name, why);
      skipped++;
      continue;
    }
    struct job *j = jobs + running;
    if (running == at_once)
      report(j = finish(jobs, at_once), verbose, quiet);
    else
      running++;
    start(j, &cases[i]);
  }
  for (; running; running--) report(finish(jobs, at_once), verbose, quiet);
  printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : passed ? 0 : 2;
}
