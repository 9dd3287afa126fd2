# What `make install` places: the binary and the names scripts call it by, the library, its headers.
install(TARGETS trireme LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS trireme_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/trireme DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
foreach(name trtllm-build trtllm-refit)
    add_custom_command(TARGET trireme_cli POST_BUILD
        COMMAND ${CMAKE_COMMAND} -E create_symlink trireme $<TARGET_FILE_DIR:trireme_cli>/${name})
    install(FILES $<TARGET_FILE_DIR:trireme_cli>/${name} DESTINATION ${CMAKE_INSTALL_BINDIR})
endforeach()
# The prefix is found from where the file lies, so that an installed tree may move.
file(RELATIVE_PATH TRI_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" TRI_PC_TO_PREFIX "${TRI_PC_TO_PREFIX}")
configure_file(cmake/trireme.pc.in trireme.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/trireme.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
