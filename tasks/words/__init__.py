"""Word vectors from a text: word2vec and GloVe."""
