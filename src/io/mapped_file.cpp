#include "io/mapped_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr std::align_val_t kAlignment{64};

// What is mapped now, in a form that a signal handler may read. More files than slots at once: the
// rest go unnamed.
struct Mapping {
  std::atomic<const std::byte*> data{nullptr};
  std::atomic<std::size_t> size{0};
  std::atomic<const char*> path{nullptr};
};
std::array<Mapping, 1024>& mappings() {
  static std::array<Mapping, 1024> all;
  return all;
}

void note_mapping(const std::byte* data, std::size_t size, const char* path) {
  for (Mapping& m : mappings()) {
    const std::byte* free = nullptr;
    if (!m.data.compare_exchange_strong(free, data)) continue;
    m.path = path;
    m.size = size;
    return;
  }
}

void forget_mapping(const std::byte* data) {
  for (Mapping& m : mappings()) {
    if (m.data != data) continue;
    m.size = 0;
    m.path = nullptr;
    m.data = nullptr;
    return;
  }
}

void say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;  // there is no other way to tell
}

std::atomic_flag said;

void on_lost_mapping(int, siginfo_t* info, void*) {
  const auto* address = static_cast<const std::byte*>(info->si_addr);
  for (const Mapping& m : mappings()) {
    const std::byte* data = m.data;
    const char* path = m.path;
    if (path == nullptr || address < data || address >= data + m.size) continue;
    if (said.test_and_set()) {
      for (;;) ::pause();  // another thread is saying it, and ends the process
    }
    say("stepstone: ");
    say(path);
    say(": was cut short, or its disk failed, while it was in use\n");
    ::_exit(1);
  }
  ::signal(SIGBUS, SIG_DFL);  // not ours: the faulting instruction runs again
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  return std::shared_ptr<const MappedFile>(new MappedFile(File::open(path)));
}

MappedFile::MappedFile(File file) : file_(std::move(file)), size_(file_.size()) {
  file_.require_regular();
  if (size_ > kCopyBelow) {
    void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                        file_.descriptor(), 0);
    if (data == MAP_FAILED) throw IoError("map", path().string(), errno);
    data_ = static_cast<const std::byte*>(data);
    mapped_ = true;
    note_mapping(data_, size_, path().c_str());
  } else if (size_ > 0) {
    struct Free {
      void operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }
    };
    std::unique_ptr<std::byte, Free> copy(
        static_cast<std::byte*>(::operator new[](size_, kAlignment)));
    size_ = file_.read(copy.get(), size_);
    data_ = copy.release();
  }
}

MappedFile::~MappedFile() {
  if (mapped_) {
    forget_mapping(data_);
    ::munmap(const_cast<std::byte*>(data_), size_);
  } else {
    ::operator delete[](const_cast<std::byte*>(data_), kAlignment);
  }
}

void forget_mapped(std::span<const std::byte> bytes) {
  for (const Mapping& m : mappings()) {
    const std::byte* data = m.data;
    const std::size_t size = m.size;
    if (size == 0 || bytes.data() < data || bytes.data() + bytes.size() > data + size) continue;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));  // whole ones
    const auto at = static_cast<std::size_t>(bytes.data() - data);
    const std::size_t begin = (at + page - 1) / page * page,
                      end = (at + bytes.size()) / page * page;
    // A failure costs memory and nothing else.
    if (begin < end) ::madvise(const_cast<std::byte*>(data) + begin, end - begin, MADV_DONTNEED);
    return;
  }
}

void exit_on_lost_mapping() {
  mappings();  // made now: a handler may not
  struct sigaction action {};
  action.sa_sigaction = on_lost_mapping;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

void MappedFile::check_unchanged() const {
  if (mapped_ && file_.size() < size_) {
    throw FormatError(path().string(), "file size",
                      fmt::format("the file shrank from {} to {} bytes while it was in use", size_,
                                  file_.size()));
  }
}

}  // namespace stepstone
