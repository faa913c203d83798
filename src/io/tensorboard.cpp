#include "io/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "core/error.h"
#include "io/crc32c.h"
#include "io/utf8.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

// A protocol buffer message under construction (protobuf.dev/programming-guides/encoding).
class Message {
 public:
  Message& integer(int field, std::uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& fixed(int field, double value) {
    key(field, 1);
    raw(value);
    return *this;
  }
  Message& fixed(int field, float value) {
    key(field, 5);
    raw(value);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    text_.append(value);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void key(int field, unsigned wire_type) {
    varint(static_cast<std::uint64_t>(field) << 3 | wire_type);
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  template <typename T>
  void raw(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string text_;
};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Event { 1: wall_time, 2: step, 3: file_version, 5: summary, 7: session_log }
Message event(std::int64_t step) {
  Message message;
  message.fixed(1, now());
  message.integer(2, static_cast<std::uint64_t>(step));
  return message;
}

std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

template <typename T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Readers take the files of a folder in the order of their names, so a new one must come last even
// when a run is resumed within a second, or after the clock was set back.
std::int64_t next_time_stamp(const fs::path& folder) {
  auto stamp = static_cast<std::int64_t>(now());
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  if (error) throw IoError("read", folder.string(), error.value());
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    std::int64_t earlier = 0;
    if (!name.starts_with(kPrefix)) continue;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), earlier);
    if (earlier < 9'999'999'999) stamp = std::max(stamp, earlier + 1);
  }
  return stamp;
}

File create_event_file(const fs::path& folder) {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  for (;;) {
    const fs::path path =
        folder / fmt::format("{}{:010}.{}.{}", kPrefix, next_time_stamp(folder), host, ::getpid());
    try {
      return File::open(path, O_WRONLY | O_CREAT | O_EXCL);
    } catch (const IoError& error) {
      if (error.error_number() != EEXIST) throw;
    }
  }
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const fs::path& folder,
                                     std::optional<std::int64_t> purge_step) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw IoError("create", folder.string(), error.value());
  file_ = create_event_file(folder);
  append(event(0).bytes(3, "brain.Event:2").text());
  // SessionLog { 1: status }, START = 1
  if (purge_step) append(event(*purge_step).bytes(7, Message().integer(1, 1).text()).text());
}

void TensorBoardWriter::scalar(std::string_view tag, std::int64_t step, float value) {
  const Scalar one{std::string(tag), value};
  scalars(step, {&one, 1});
}

void TensorBoardWriter::scalars(std::int64_t step, std::span<const Scalar> values) {
  // Summary { repeated 1: Value { 1: tag, 2: simple_value } }
  Message summary;
  for (const Scalar& item : values) {
    summary.bytes(1, Message().bytes(1, to_utf8_lossy(item.tag)).fixed(2, item.value).text());
  }
  append(event(step).bytes(5, summary.text()).text());
}

void TensorBoardWriter::text(std::string_view tag, std::int64_t step, std::string_view markdown) {
  // TensorProto { 1: dtype, 2: shape { 2: dim { 1: size } }, 8: string_val }, DT_STRING = 7
  const std::string shape = Message().bytes(2, Message().integer(1, 1).text()).text();
  const std::string tensor =
      Message().integer(1, 7).bytes(2, shape).bytes(8, to_utf8_lossy(markdown)).text();
  // Value { 1: tag, 8: tensor, 9: SummaryMetadata { 1: PluginData { 1: plugin_name } } }
  const std::string plugin = Message().bytes(1, Message().bytes(1, "text").text()).text();
  const std::string value =
      Message().bytes(1, to_utf8_lossy(tag)).bytes(8, tensor).bytes(9, plugin).text();
  append(event(step).bytes(5, Message().bytes(1, value).text()).text());
}

void TensorBoardWriter::append(std::string_view event) {
  // TFRecord: u64 length, masked CRC of the length, data, masked CRC of the data.
  const std::uint64_t length = event.size();
  std::string record(bytes_of(length));
  record += bytes_of(masked_crc(bytes_of(length)));
  record += event;
  record += bytes_of(masked_crc(event));
  try {
    file_.write(record.data(), record.size());
  } catch (const IoError&) {
    // A torn record would hide all that a later call adds.
    if (::ftruncate(file_.descriptor(), static_cast<off_t>(size_)) == 0) {
      ::lseek(file_.descriptor(), static_cast<off_t>(size_), SEEK_SET);
    }
    throw;
  }
  size_ += record.size();
}

}  // namespace stepstone
