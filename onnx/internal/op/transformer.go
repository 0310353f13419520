package op

// transformerOperators are the parts of transformers that operator set 23 brought.
func transformerOperators() map[string]Spec {
	return map[string]Spec{
		"Attention":       {MinIn: 3, MaxIn: 7, MaxOut: 4, Make: makeAttend, Since: 23},
		"LinearAttention": {MinIn: 3, MaxIn: 6, MaxOut: 2, Make: makeRecall, Since: 27},
		"RotaryEmbedding": {MinIn: 3, MaxIn: 4, MaxOut: 1, Make: makeRotary, Since: 23},
	}
}
