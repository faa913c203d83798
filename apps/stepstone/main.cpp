#include <cstdio>

int main() {
  std::puts("stepstone");
  return 0;
}
