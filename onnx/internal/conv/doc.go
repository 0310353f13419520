// Package conv answers: what is the convolution, or the pooling, of float32
// arrays whose sizes were checked? It knows nothing of models and allocates
// nothing while it runs; what it needs is told before.
//
// # Layouts
//
// A Planar array is NCHW as ONNX has it. A Blocked array holds Block(level)
// channels side by side: element (n, c, pixel) lies at
//
//	((n*ceil(C/B) + c/B)*pixels + pixel)*B + c%B
//
// so that one vector register holds one pixel of B channels, and a convolution
// multiplies a broadcast input by a vector of weights. The lanes past channel C
// in the last block hold anything: nothing here reads them, and FromBlocked drops
// them.
//
// # How a graph should use it
//
// Let convolutions pass Blocked arrays to each other. Each Conv takes and gives
// either layout (New's in and out), so no separate reorder is needed around one:
// the first convolution of a net (few channels) is best with a Planar input, and
// a Planar output costs one pass. Between convolutions these may stay Blocked:
//
//   - pooling of all kinds (Pool), and so the global ones;
//   - element-by-element operators of one input, and of two inputs of one shape:
//     they see BlockedLen floats and need not know (what they do to the unused
//     lanes does not matter);
//   - element by element with one value per channel, if that operand is Blocked
//     too with its own pixels = 1 (then it broadcasts over the pixels);
//   - Concat along channels, if all inputs but the last have a multiple of B
//     channels: for each n the Blocked inputs follow each other as they are. Split
//     likewise;
//   - Resize, Pad and Slice over the spatial dimensions: with B floats as one element.
//
// All else (Reshape, Transpose, Gemm, reductions over channels, Softmax) needs
// FromBlocked first, unless there is one pixel, where a Blocked array of one batch
// is the Planar one with a longer tail. As a tensor a Blocked array has the shape
// N x ceil(C/B) x spatial x B, so that axis 1 of a Concat is still axis 1. Groups: a depthwise convolution and one
// whose groups have a multiple of B channels on both sides run in Blocked form;
// others work, and go through a Planar copy. A depthwise one with strides up to 2 reads
// Blocked input where it lies and needs no scratch.
//
// Add after a convolution, and Relu, Clip and LeakyRelu, are free when they are
// given to Run as residual and activation; another activation as a function runs
// on parts of the output that are still in the cache.
//
// # Memory
//
// Arrays should begin at multiples of 64 bytes: loads across cache lines halve the
// speed. Packed weights and scratch are as large as PackedLen and Scratch say, and do
// not depend on the number of threads. Weights are packed once for inputs of every
// size: For makes the plan of another.
package conv
