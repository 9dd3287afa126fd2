/* ops_undef.h - undefines what ops.def is included with; no guard, as ops.def is included many
 * times. */
#undef TRI_OP
#undef TRI_IN
#undef TRI_IN_OPTIONAL
#undef TRI_OUT
#undef TRI_ATTR_I
#undef TRI_ATTR_F
#undef TRI_ATTR_S
#undef TRI_ATTR_FS
#undef TRI_OP_END
