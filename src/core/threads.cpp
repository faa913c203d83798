#include "core/threads.h"

#include "core/error.h"

namespace stepstone {
namespace {
int& pool_size() {
  static int size = omp_get_max_threads();
  return size;
}
}  // namespace

int num_threads() { return pool_size(); }

void set_num_threads(int n) {
  require<UsageError>(n >= 1 && n <= 1024, "threads: expected 1 to 1024, got {}", n);
  pool_size() = n;
  omp_set_num_threads(n);
}

}  // namespace stepstone
