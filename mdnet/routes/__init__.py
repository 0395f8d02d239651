"""The routes by which a force and a step are computed: plain torch, a compiled graph, the bare module, native code."""
