#!/bin/sh
# A first translator from nothing, to be the backbone of the next `fit`: multi30k, English to French.
#
# Papers     Vaswani et al. 2017 (1706.03762); Marian, Junczys-Dowmunt et al. 2018 (1804.00344), of which this is the
#            architecture: 3 + 3 layers, 256 wide, 4 heads, swish; 4,000 SentencePiece pieces for both languages
#            (few pairs want few pieces: Sennrich and Zhang 2019, 1905.11901); 6.7 million parameters.
# Training   Batches of like lengths with as much text in each, 64 pairs on average; AdamW at 7e-4, warmed up over a
#            tenth of the steps, then a cosine; dropout 0.1, labels smoothed by 0.1, weights averaged (0.99); as many
#            epochs as fit in, 40 at most. (Seed 0: 64 pairs in every batch.)
# Data       github.com/multi30k/dataset, data/task1/raw: train, val, test_2016_flickr, .en.gz and .fr.gz in a folder.
# Hardware   Two CPU cores, 27 min in fp32 (`35m`); one, another run on the other, 44 to 48 min in fp32 (`1h`); two cores, 31 to 33 min in bf16 (AVX-512,
#            `35m`), 62 min in fp32 (AVX2).
# Result     test_2016_flickr, 4 beams: BLEU 50.1 to 56.9 over seven runs of three seeds, chrF2++ 67.6 to 72.4;
#            nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0. In brackets 95% intervals over the captions:
#            seed 0, 35m, fp32            BLEU 53.1 (51.5 to 54.9)   chrF2++ 69.6 (68.4 to 70.8)   5 epochs
#            seed 0, 1h, fp32, one core   BLEU 52.9 (51.2 to 54.7)   chrF2++ 69.5 (68.2 to 70.6)   5 epochs
#            seed 1, 1h, fp32, one core   BLEU 50.1 (48.3 to 51.8)   chrF2++ 67.6 (66.3 to 68.8)   4 epochs
#            seed 2, 1h, fp32, one core   BLEU 50.9 (49.2 to 52.6)   chrF2++ 67.8 (66.5 to 69.0)   4 epochs
#            The others had learned vectors of positions too, which transformers does not save; two cores:
#            seed 0, 1h, fp32             BLEU 56.7 (55.1 to 58.6)   chrF2++ 72.2 (71.1 to 73.4)   8 of 9 epochs
#            seed 1, 35m, bf16            BLEU 56.9 (55.1 to 58.5)   chrF2++ 72.4 (71.1 to 73.5)   7 of 8 epochs
#            seed 2, 35m, bf16            BLEU 55.7 (53.8 to 57.5)   chrF2++ 71.5 (70.3 to 72.7)   7 epochs
set -e
data=${1:?a folder of train.en.gz, train.fr.gz, val.en.gz, val.fr.gz, test_2016_flickr.en.gz, test_2016_flickr.fr.gz}
headstart fit "$data" --backbone new:marian-small --budget "${2:-1h}" --seed "${3:-0}" --out "${4:-first-translator}"
