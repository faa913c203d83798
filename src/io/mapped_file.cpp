#include "io/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <new>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  return std::shared_ptr<const MappedFile>(new MappedFile(File::open(path)));
}

MappedFile::MappedFile(File file) : file_(std::move(file)), size_(file_.size()) {
  if (size_ > kCopyBelow) {
    void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                        file_.descriptor(), 0);
    if (data == MAP_FAILED) throw IoError("map", path().string(), errno);
    data_ = static_cast<const std::byte*>(data);
    mapped_ = true;
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
    ::munmap(const_cast<std::byte*>(data_), size_);
  } else {
    ::operator delete[](const_cast<std::byte*>(data_), kAlignment);
  }
}

void MappedFile::check_unchanged() const {
  if (mapped_ && file_.size() < size_) {
    throw FormatError(path().string(), "file size",
                      fmt::format("the file shrank from {} to {} bytes while it was in use", size_,
                                  file_.size()));
  }
}

}  // namespace stepstone
