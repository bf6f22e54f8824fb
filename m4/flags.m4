# QMP_SHIM_ADD_FLAGS(VARIABLE, FLAGS)
# Add to VARIABLE each of FLAGS that the compiler takes, for compiling and for linking.
AC_DEFUN([QMP_SHIM_ADD_FLAGS], [
  for qmp_shim_flag in $2; do
    AS_VAR_PUSHDEF([qmp_shim_cached], [qmp_shim_cv_takes_$qmp_shim_flag])
    AC_CACHE_CHECK([whether $CC takes $qmp_shim_flag], [qmp_shim_cached], [
      qmp_shim_saved_CFLAGS=$CFLAGS
      CFLAGS="$CFLAGS -Werror $qmp_shim_flag"
      AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
        [AS_VAR_SET([qmp_shim_cached], [yes])], [AS_VAR_SET([qmp_shim_cached], [no])])
      CFLAGS=$qmp_shim_saved_CFLAGS
    ])
    AS_VAR_IF([qmp_shim_cached], [yes], [AS_VAR_APPEND([$1], [" $qmp_shim_flag"])])
    AS_VAR_POPDEF([qmp_shim_cached])
  done
])
