package op

// moveOperators move elements without looking at them.
func moveOperators() map[string]Spec {
	return map[string]Spec{
		"Transpose":       {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeTranspose},
		"Concat":          {MinIn: 1, MaxIn: Variadic, MaxOut: 1, Make: makeConcat},
		"Split":           {MinIn: 1, MaxIn: 2, MaxOut: Variadic, Make: makeSplit, Since: 2},
		"Slice":           {MinIn: 1, MaxIn: 5, MaxOut: 1, Make: makeSlice},
		"Expand":          {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: always(expanding{}), Since: 8},
		"Tile":            {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: always(tiling{}), Since: 6},
		"Where":           {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: always(where{})},
		"Gather":          {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeGather},
		"GatherElements":  {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeGatherElements, Since: 11},
		"GatherND":        {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeGatherND, Since: 11},
		"Scatter":         {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeScatterElements, Since: 9},
		"ScatterElements": {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeScatterElements, Since: 11},
		"ScatterND":       {MinIn: 3, MaxIn: 3, MaxOut: 1, Make: makeScatterND, Since: 11},
		"TensorScatter":   {MinIn: 2, MaxIn: 3, MaxOut: 1, Make: makeTensorScatter, Since: 24},
		"Pad":             {MinIn: 1, MaxIn: 4, MaxOut: 1, Make: makePad, Since: 2},
		"CenterCropPad":   {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeCenterCropPad, Since: 18},
		"SpaceToDepth":    {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeSpaceToDepth},
		"DepthToSpace":    {MinIn: 1, MaxIn: 1, MaxOut: 1, Make: makeDepthToSpace},
		"ReverseSequence": {MinIn: 2, MaxIn: 2, MaxOut: 1, Make: makeReverseSequence, Since: 10},
		"Trilu":           {MinIn: 1, MaxIn: 2, MaxOut: 1, Make: makeTrilu, Since: 14},
	}
}

// These are Cheap: models put weights together, cut them and change their order, and
// then are as fast as models that store them so.
func (concat) Cheap()          {}
func (splitting) Cheap()       {}
func (slicing) Cheap()         {}
func (gather) Cheap()          {}
func (where) Cheap()           {}
func (trilu) Cheap()           {}
func (depthSpace) Cheap()      {}
func (reverseSequence) Cheap() {}
