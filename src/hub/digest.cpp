#include "hub/digest.h"

#include <openssl/evp.h>

#include <array>

#include "core/error.h"

namespace stepstone {

struct Digest::Context {
  explicit Context(const EVP_MD* kind) : handle(EVP_MD_CTX_new()) {
    require(handle != nullptr && EVP_DigestInit_ex(handle, kind, nullptr) == 1,
            "the cryptographic library refuses a checksum");
  }
  ~Context() { EVP_MD_CTX_free(handle); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  EVP_MD_CTX* handle;
};

Digest::Digest(std::unique_ptr<Context> context) : context_(std::move(context)) {}
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

Digest Digest::sha256() { return Digest(std::make_unique<Context>(EVP_sha256())); }

Digest Digest::git_blob(std::uint64_t size) {
  Digest digest(std::make_unique<Context>(EVP_sha1()));
  const std::string head = fmt::format("blob {}", size);
  digest.update({head.c_str(), head.size() + 1});
  return digest;
}

void Digest::update(std::string_view bytes) {
  EVP_DigestUpdate(context_->handle, bytes.data(), bytes.size());
}

std::string Digest::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned size = 0;
  EVP_DigestFinal_ex(context_->handle, bytes.data(), &size);
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

}  // namespace stepstone
