#include "models/transformer/ngrams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/json.h"
#include "models/transformer/config.h"

namespace stepstone {
namespace {

using Ids = std::vector<std::int32_t>;

Ids ids_of(const Ids& history, const Ids& tokens, std::int64_t order, std::int64_t buckets) {
  Ids out;
  append_ngram_ids(history, tokens, order, 10, buckets, out);
  return out;
}

TEST(Ngrams, AreNumberedExactlyWhereTheTableIsLargeEnough) {
  EXPECT_EQ(ids_of({}, {3, 1, 4}, 2, 100), (Ids{3, 13, 41}));
  EXPECT_EQ(ids_of({}, {3, 1, 4, 1}, 3, 1000), (Ids{3, 13, 413, 141}));
}

TEST(Ngrams, HashesStayInsideTheTableAndDependOnOrder) {
  const Ids ids = ids_of({}, {3, 1, 1, 3, 3, 1}, 3, 97);
  for (const std::int32_t id : ids)
    EXPECT_THAT(id, testing::AllOf(testing::Ge(0), testing::Lt(97)));
  EXPECT_NE(ids_of({3}, {1}, 2, 97), ids_of({1}, {3}, 2, 97));
}

TEST(Ngrams, DoNotDependOnHowTheTextIsCut) {
  const Ids text = {5, 9, 2, 6, 5, 3, 5, 8};
  for (const std::int64_t buckets : {97, 100000}) {
    const Ids whole = ids_of({}, text, 4, buckets);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      const Ids head(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(cut));
      const Ids tail(text.begin() + static_cast<std::ptrdiff_t>(cut), text.end());
      Ids pieces = ids_of({}, head, 4, buckets);
      const Ids rest = ids_of(head, tail, 4, buckets);
      pieces.insert(pieces.end(), rest.begin(), rest.end());
      EXPECT_EQ(pieces, whole) << cut;
    }
  }
}

TEST(Ngrams, ConfigKeepsTheirShape) {
  TransformerConfig config;
  config.model_type = "stepstone";
  config.vocab_size = 65;
  config.hidden_size = 32;
  config.layers = 1;
  config.heads = config.kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 64;
  config.max_positions = 64;
  config.qk_norm = true;
  config.ngram_order = 4;
  config.ngram_buckets = 512;
  const TransformerConfig read = transformer_config_from_json(to_json(config), "config.json");
  EXPECT_EQ(read.ngram_order, 4);
  EXPECT_EQ(read.ngram_buckets, 512);
  EXPECT_EQ(read.parameters(), config.parameters());
  config.model_type = "qwen3";  // transformers would load it and leave the tables out
  EXPECT_THROW(config.validate(), UsageError);
}

}  // namespace
}  // namespace stepstone
