#include "data/tokenize.h"

#include <optional>

#include "core/error.h"
#include "core/threads.h"
#include "tokenizer/chat_template.h"

namespace stepstone {
namespace {

std::int64_t bytes_of(const Document& document) {
  std::size_t bytes = document.text.size();
  for (const Message& message : document.messages) bytes += message.content.size();
  return static_cast<std::int64_t>(bytes);
}

// In [0, 1), by content.
double place_of(const Document& document) {
  Hasher hasher;
  hasher.update(document.text.data(), document.text.size());
  for (const Message& message : document.messages) {
    hasher.update(message.role.c_str(), message.role.size() + 1);
    hasher.update(message.content.c_str(), message.content.size() + 1);
  }
  return static_cast<double>(hasher.digest().low >> 11) * 0x1p-53;
}

TokenizedDocument tokenize_text(const std::string& text, const Tokenizer& tokenizer,
                                const TokenizeOptions& options) {
  TokenizedDocument out;
  const auto bos = tokenizer.bos(), eos = tokenizer.eos();
  if (options.add_bos && bos && bos != eos) out.tokens.push_back(*bos);
  tokenizer.encode_append(text, out.tokens);
  if (options.add_eos && eos) out.tokens.push_back(*eos);
  out.mask.assign(out.tokens.size(), 1);
  return out;
}

}  // namespace

TokenizedDocument tokenize_document(const Document& document, const Tokenizer& tokenizer,
                                    const TokenizeOptions& options) {
  TokenizedDocument out;
  if (document.is_chat()) {
    RenderedChat chat =
        (options.chat ? *options.chat : ChatTemplate(tokenizer)).render(document.messages);
    out.tokens = std::move(chat.ids);
    out.mask = std::move(chat.loss_mask);
  } else {
    out = tokenize_text(document.text, tokenizer, options);
  }
  out.text_bytes = bytes_of(document);
  return out;
}

void tokenize_corpus(DocumentReader& reader, const Tokenizer& tokenizer,
                     const TokenizeOptions& options, ShardWriter& train, ShardWriter* val) {
  require<UsageError>(options.val_fraction >= 0 && options.val_fraction < 1,
                      "tokenize: the validation share is {}, not in [0, 1)", options.val_fraction);
  require<UsageError>(options.val_fraction == 0 || val != nullptr,
                      "tokenize: a validation share needs a place to write it");
  std::vector<Document> block;
  std::vector<TokenizedDocument> tokenized;
  for (bool more = true; more;) {
    block.clear();
    for (std::int64_t bytes = 0; more && bytes < options.block_bytes;) {
      Document document;
      more = reader.next(document);
      if (!more) break;
      bytes += bytes_of(document);
      block.push_back(std::move(document));
    }
    tokenized.assign(block.size(), {});
    parallel_for(static_cast<std::int64_t>(block.size()), 16,
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) {
                     const auto k = static_cast<std::size_t>(i);
                     tokenized[k] = tokenize_document(block[k], tokenizer, options);
                   }
                 });
    for (std::size_t i = 0; i < block.size(); ++i) {
      ShardWriter& writer = place_of(block[i]) < options.val_fraction ? *val : train;
      const TokenizedDocument& one = tokenized[i];
      require<UsageError>(writer.has_mask() || !block[i].is_chat(),
                          "{}: a chat needs a dataset with a loss mask", reader.where());
      writer.add(one.tokens, one.text_bytes,
                 writer.has_mask() ? std::span<const std::uint8_t>(one.mask)
                                   : std::span<const std::uint8_t>());
    }
  }
}

Hash128 tokenizer_hash(const Tokenizer& tokenizer) {
  Hasher hasher;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    const std::uint64_t head = bytes.size() * 2 + (tokenizer.is_special(id) ? 1 : 0);
    hasher.update(&head, sizeof(head));
    hasher.update(bytes.data(), bytes.size());
  }
  return hasher.digest();
}

std::vector<std::int32_t> token_byte_lengths(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> out;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    out.push_back(
        tokenizer.is_special(id) ? 0 : static_cast<std::int32_t>(tokenizer.token_bytes(id).size()));
  }
  return out;
}

}  // namespace stepstone
