#include "io/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/file.h"

namespace stepstone {
namespace {

constexpr std::size_t kBuffer = std::size_t{256} << 10;
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr int kZstdWindowLog = 27;

// A file read in pieces, whose first bytes can be looked at before.
class PieceReader {
 public:
  explicit PieceReader(const std::filesystem::path& path)
      : file_(File::open(path)), buffer_(kBuffer) {
    file_.require_regular();  // corpora are read more than once
    refill();
  }

  std::string_view rest() const { return {buffer_.data() + begin_, end_ - begin_}; }
  void consume(std::size_t bytes) { begin_ += bytes; }
  // Reads the next piece once the last is consumed. False at the end of the file.
  bool refill() {
    if (begin_ < end_) return true;
    begin_ = 0;
    end_ = file_.read(buffer_.data(), buffer_.size());
    total_ += end_;
    return end_ > 0;
  }
  std::uint64_t bytes_read() const { return total_; }
  std::string name() const { return file_.path().string(); }

 private:
  File file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t total_ = 0;
};

class PlainInput : public InputStream {
 public:
  explicit PlainInput(PieceReader source) : source_(std::move(source)) {}

  std::size_t read(char* data, std::size_t size) override {
    std::size_t done = 0;
    while (done < size && source_.refill()) {
      const std::string_view piece = source_.rest().substr(0, size - done);
      std::memcpy(data + done, piece.data(), piece.size());
      source_.consume(piece.size());
      done += piece.size();
    }
    return done;
  }

 private:
  PieceReader source_;
};

// What gzip and zstd have in common: both keep to the limits and end only where a member ends.
class CompressedInput : public InputStream {
 public:
  CompressedInput(PieceReader source, const DecompressLimits& limits, std::string_view format)
      : source_(std::move(source)), limits_(limits), format_(format) {}

  std::size_t read(char* data, std::size_t size) override {
    std::size_t done = 0;
    while (done < size) {
      const bool input_left = source_.refill();
      if (!input_left && between_members_) break;
      const std::size_t produced = decode(data + done, size - done);
      if (!input_left && produced == 0 && !between_members_) fail("the file is truncated");
      done += produced;
      total_ += produced;
      check_limits();
    }
    return done;
  }

 protected:
  // Decodes some of source_.rest() into `data`, sets between_members_, returns bytes produced.
  virtual std::size_t decode(char* data, std::size_t size) = 0;

  [[noreturn]] void fail(std::string_view problem) const {
    throw FormatError(source_.name(), format_, problem,
                      source_.bytes_read() - source_.rest().size());
  }

  PieceReader source_;
  bool between_members_ = false;

 private:
  void check_limits() const {
    if (total_ > limits_.max_bytes) {
      fail(fmt::format("unfolds to more than the limit of {} bytes", limits_.max_bytes));
    }
    if (total_ > limits_.free_bytes && total_ / limits_.max_ratio > source_.bytes_read()) {
      fail(fmt::format("unfolds more than {} times", limits_.max_ratio));
    }
  }

  DecompressLimits limits_;
  std::string format_;
  std::uint64_t total_ = 0;
};

class GzipInput : public CompressedInput {
 public:
  GzipInput(PieceReader source, const DecompressLimits& limits)
      : CompressedInput(std::move(source), limits, "gzip") {
    if (inflateInit2(&stream_, MAX_WBITS + 16) != Z_OK) throw std::bad_alloc();
  }
  ~GzipInput() override { inflateEnd(&stream_); }

 protected:
  std::size_t decode(char* data, std::size_t size) override {
    const std::string_view input = source_.rest();
    // Another member may follow the one that ended.
    if (between_members_) inflateReset(&stream_);
    between_members_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(data);
    const auto room = static_cast<uInt>(std::min(size, kBuffer));
    stream_.avail_out = room;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    source_.consume(input.size() - stream_.avail_in);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    // Z_BUF_ERROR only says that nothing moved; read() tells why.
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      fail(stream_.msg != nullptr ? stream_.msg : "damaged data");
    }
    between_members_ = status == Z_STREAM_END;
    return room - stream_.avail_out;
  }

 private:
  z_stream stream_{};
};

class ZstdInput : public CompressedInput {
 public:
  ZstdInput(PieceReader source, const DecompressLimits& limits)
      : CompressedInput(std::move(source), limits, "zstd"), context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  }

 protected:
  std::size_t decode(char* data, std::size_t size) override {
    const std::string_view piece = source_.rest();
    ZSTD_inBuffer input{piece.data(), piece.size(), 0};
    ZSTD_outBuffer output{data, std::min(size, kBuffer), 0};
    const std::size_t hint = ZSTD_decompressStream(context_.get(), &output, &input);
    source_.consume(input.pos);
    if (ZSTD_isError(hint)) fail(ZSTD_getErrorName(hint));
    between_members_ = hint == 0;
    return output.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

class PlainOutput : public OutputStream {
 public:
  explicit PlainOutput(const std::filesystem::path& path) : file_(path) {}
  void write(std::string_view bytes) override { file_.write(bytes); }
  void commit() override { file_.commit(); }

 private:
  AtomicFile file_;
};

class GzipOutput : public OutputStream {
 public:
  explicit GzipOutput(const std::filesystem::path& path) : file_(path) {
    const int status = deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8,
                                    Z_DEFAULT_STRATEGY);
    if (status != Z_OK) throw std::bad_alloc();
  }
  ~GzipOutput() override { deflateEnd(&stream_); }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, kBuffer);
      run(piece, Z_NO_FLUSH);
      bytes.remove_prefix(piece.size());
    }
  }
  void commit() override {
    run({}, Z_FINISH);
    file_.commit();
  }

 private:
  void run(std::string_view piece, int flush) {
    std::array<char, 64 << 10> out;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out.data());
      stream_.avail_out = out.size();
      deflate(&stream_, flush);
      file_.write(out.data(), out.size() - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

  AtomicFile file_;
  z_stream stream_{};
};

class ZstdOutput : public OutputStream {
 public:
  explicit ZstdOutput(const std::filesystem::path& path)
      : file_(path), context_(ZSTD_createCCtx()) {
    if (!context_) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }

  void write(std::string_view bytes) override { run(bytes, ZSTD_e_continue); }
  void commit() override {
    run({}, ZSTD_e_end);
    file_.commit();
  }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };

  void run(std::string_view bytes, ZSTD_EndDirective directive) {
    std::array<char, 64 << 10> out;
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    std::size_t left;
    do {
      ZSTD_outBuffer output{out.data(), out.size(), 0};
      left = ZSTD_compressStream2(context_.get(), &output, &input, directive);
      require(!ZSTD_isError(left), "{}: zstd: {}", file_.target().string(),
              ZSTD_getErrorName(left));
      file_.write(out.data(), output.pos);
    } while (directive == ZSTD_e_end ? left > 0 : input.pos < input.size);
  }

  AtomicFile file_;
  std::unique_ptr<ZSTD_CCtx, Free> context_;
};

}  // namespace

std::unique_ptr<InputStream> open_input(const std::filesystem::path& path,
                                        const DecompressLimits& limits) {
  PieceReader source(path);
  const std::string_view head = source.rest();
  if (is_lfs_pointer(head)) throw FormatError(path.string(), "content", kLfsProblem);
  if (head.starts_with(kGzipMagic)) return std::make_unique<GzipInput>(std::move(source), limits);
  if (head.starts_with(kZstdMagic)) return std::make_unique<ZstdInput>(std::move(source), limits);
  const std::string ending = path.extension().string();
  if (ending == ".gz") throw FormatError(path.string(), "gzip", "is not a gzip file", 0);
  if (ending == ".zst") throw FormatError(path.string(), "zstd", "is not a zstd file", 0);
  return std::make_unique<PlainInput>(std::move(source));
}

std::unique_ptr<OutputStream> open_output(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".gz") return std::make_unique<GzipOutput>(path);
  if (ending == ".zst") return std::make_unique<ZstdOutput>(path);
  return std::make_unique<PlainOutput>(path);
}

}  // namespace stepstone
